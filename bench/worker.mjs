// One peer and one group in a process of their own, on whatever runtime: node worker.mjs '<task as JSON>'.
import { groups } from './groups/index.mjs'
import { efforts, time } from './measure/timing.mjs'
import { load } from './peers/index.mjs'
import { verify } from './verify.mjs'

/** @typedef {{ file: string, name: string }} PeerName Which peer, and the file it stands in. */
/** @typedef {{ mode: 'quick' | 'full', group: string, peers: PeerName[] } | { mode: 'quick' | 'full', verify: PeerName }} Task */

const MARK = 'calloff-bench:'

async function find({ file, name }) {
  const peers = await load(file)
  return peers.find((peer) => peer.name === name)
}

/** @param {Task} task */
async function work(task) {
  if ('verify' in task) return verify(await find(task.verify))
  const group = groups.find(({ name }) => name === task.group)
  const peers = []
  for (const one of task.peers) peers.push(await find(one))
  if (group.measure) return group.measure(group, peers, task.mode)
  const cases = peers.map((peer) => group.make(peer))
  return [{ table: group.name, rows: await time(cases, efforts[task.mode], group.collecting === true) }]
}

let answer
try {
  answer = { result: await work(JSON.parse(process.argv[2])) }
} catch (error) {
  answer = { error: error?.stack ?? String(error) }
}
// Timers of an hour may still be running.
process.stdout.write(`${MARK}${JSON.stringify(answer)}\n`, () => process.exit(0))
