// Everything that is timed is tried first, on the very same functions: nothing wrong is ever timed.
import { turn } from './measure/runtime.mjs'

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function hold(condition, what) {
  if (!condition) throw new Error(what)
}

/** How many of 16 polls say that it is over. */
function polled(peer, token) {
  const eight = Array.from({ length: 8 }, () => token)
  return peer.polls ? peer.polls(eight, 16) : token.aborted ? 16 : 0
}

/** Live before, over after; some hear of it only after promises have turned. */
async function endsWith(peer, token, cancel, what) {
  hold(polled(peer, token) === 0, `${what}: is over before it was cancelled`)
  if (peer.pollsOne) hold(peer.pollsOne(token, 16) === 0, `${what}: pollsOne says it is over`)
  cancel()
  if (peer.later) for (let i = 0; i < 5; i++) await turn()
  hold(polled(peer, token) === 16, `${what}: is not over after it was cancelled`)
  if (peer.pollsOne) hold(peer.pollsOne(token, 16) === 16, `${what}: pollsOne says it is not over`)
}

const rejects = (promise) =>
  promise.then(
    () => false,
    () => true,
  )

/** What is tried, and what a peer must be able to do for it. @type {Record<string, { needs: string[], try: (peer: any) => unknown }>} */
const trials = {
  'a root': {
    needs: ['create', 'token', 'cancel', 'polls'],
    try(peer) {
      const source = peer.create()
      return endsWith(peer, peer.token(source), () => peer.cancel(source), 'root')
    },
  },
  'derived from one': {
    needs: ['create', 'derive1'],
    try(peer) {
      const source = peer.create()
      return endsWith(peer, peer.derive1(peer.token(source)), () => peer.cancel(source), 'derived')
    },
  },
  'derived from two, ended by either': {
    needs: ['create', 'derive2'],
    async try(peer) {
      for (const which of [0, 1]) {
        const sources = [peer.create(), peer.create()]
        const token = peer.derive2(peer.token(sources[0]), peer.token(sources[1]))
        await endsWith(peer, token, () => peer.cancel(sources[which]), `derived from two, ${which}`)
      }
    },
  },
  'ten levels': {
    needs: ['create', 'derive1'],
    try(peer) {
      const source = peer.create()
      let token = peer.token(source)
      for (let level = 0; level < 10; level++) token = peer.derive1(token)
      return endsWith(peer, token, () => peer.cancel(source), 'ten levels down')
    },
  },
  'a child, ended by itself and by its parent': {
    needs: ['create', 'child'],
    async try(peer) {
      const source = peer.create()
      const [one, other] = [peer.child(peer.token(source)), peer.child(peer.token(source))]
      const end = (child) => (child.abort ? child.abort() : peer.cancel(child))
      await endsWith(peer, peer.token(one), () => end(one), 'child')
      hold(polled(peer, peer.token(source)) === 0, 'child: its end ended the parent')
      await endsWith(peer, peer.token(other), () => peer.cancel(source), 'child, by its parent')
    },
  },
  'a child that was let go of is not called': {
    needs: ['create', 'child', 'release', 'listen'],
    async try(peer) {
      const source = peer.create()
      const child = peer.child(peer.token(source))
      let heard = 0
      peer.listen(peer.token(child), () => heard++)
      peer.release(child)
      const before = heard
      peer.cancel(source)
      await turn()
      hold(heard === before, 'released: was called all the same')
    },
  },
  listeners: {
    needs: ['create', 'listen', 'unlisten', 'cancel'],
    try(peer) {
      const source = peer.create()
      const token = peer.token(source)
      const heard = [0, 0, 0]
      const handles = heard.map((_, at) => peer.listen(token, () => heard[at]++))
      peer.unlisten(token, handles[1])
      hold(String(heard) === '0,0,0', 'listen: called too early')
      peer.cancel(source)
      hold(String(heard) === '1,0,1', `listen: ${heard} calls where 1,0,1 were due`)
    },
  },
  'a timeout': {
    needs: ['timeout', 'timeoutToken'],
    async try(peer) {
      const long = peer.timeout(3_600_000)
      const short = peer.timeout(20)
      const polls = peer.timeoutPolls ?? peer.polls
      const eight = (token) => Array.from({ length: 8 }, () => token)
      const tokens = [peer.timeoutToken(long), peer.timeoutToken(short)]
      hold(polls(eight(tokens[0]), 16) === 0, 'timeout: the long one is over')
      hold(polls(eight(tokens[1]), 16) === 0, 'timeout: the short one is over at once')
      await wait(60)
      hold(polls(eight(tokens[0]), 16) === 0, 'timeout: the long one is over')
      hold(polls(eight(tokens[1]), 16) === 16, 'timeout: the short one is not over')
      peer.timeoutEnd?.(long)
    },
  },
  'a race': {
    needs: ['create', 'race', 'cancel'],
    async try(peer) {
      const source = peer.create()
      const token = peer.token(source)
      hold((await peer.race(token, Promise.resolve(7))) === 7, 'race: gave not what the work gave')
      hold(await rejects(peer.race(token, Promise.reject(new Error('work')))), 'race: hid the failure of the work')
      const work = peer.cooperative
        ? new Promise((_, reject) => setTimeout(reject, 10, new Error('reacted')))
        : new Promise(() => {})
      const lost = rejects(peer.race(token, work))
      peer.cancel(source)
      hold(await Promise.race([lost, wait(1_000)]), 'race: a cancelled race did not reject')
    },
  },
  'a sleep that is called off': {
    needs: ['calledOff'],
    async try(peer) {
      const begin = performance.now()
      hold((await peer.calledOff()) === true, 'sleep: was not called off')
      hold(performance.now() - begin < 1_000, 'sleep: was called off too late')
    },
  },
  'works that begin and end together': {
    needs: ['together', 'oneFails'],
    async try(peer) {
      hold((await peer.together([1, 2, 3])) === 6, 'together: the sum is wrong')
      hold((await peer.together([])) === 0, 'together: nothing is not nothing')
      hold((await peer.oneFails(3)) === 3, 'oneFails: not all were stopped by the time it failed')
    },
  },
  'the signal of a root': {
    needs: ['signalBearer', 'signalOfRoot', 'cancel', 'create'],
    try(peer) {
      const token = peer.signalBearer()
      const signal = peer.signalOfRoot(token)
      hold(signal instanceof AbortSignal && !signal.aborted, 'signal: is none, or over')
      peer.cancel(token)
      hold(signal.aborted, 'signal: did not hear of it')
    },
  },
  'the signal of a derived token': {
    needs: ['signalBearer', 'signalParent', 'signalOfDerived', 'cancel'],
    try(peer) {
      const parent = peer.signalParent()
      const signal = peer.signalOfDerived(peer.signalBearer(parent))
      hold(signal instanceof AbortSignal && !signal.aborted, 'signal: is none, or over')
      peer.cancel(parent)
      hold(signal.aborted, 'signal: did not hear of its parent')
    },
  },
  'a token in shared memory': {
    needs: ['shared', 'handle', 'opened', 'sharedCancel', 'polls'],
    try(peer) {
      const token = peer.shared()
      const opened = peer.opened(structuredClone(peer.handle(token)))
      return endsWith(peer, opened, () => peer.sharedCancel(token), 'shared')
    },
  },
  'a token of another process, called off there': {
    needs: ['across'],
    async try(peer) {
      const way = await peer.across()
      try {
        await way.prepare(3)
        for (let round = 0; round < 3; round++) hold((await way.round()) > 0, 'across: took no time at all')
      } finally {
        await way.end()
      }
    },
  },
  quickstart: {
    needs: ['quickstart'],
    try: (peer) => hold(peer.quickstart(1_000) === 1_000, 'quickstart: not as many turns as were due'),
  },
  'more kinds': {
    needs: ['kinds'],
    try(peer) {
      for (const [kind, make] of Object.entries(peer.kinds)) {
        const token = make()
        hold(peer.pollsOne(token, 4) === 0 && make() !== token, `${kind}: is over, or not a new one each time`)
      }
    },
  },
}

/** Whether a timeout ends a loop that gives nobody else a turn: a fact worth telling, not a fault. */
function firesInLoop(peer) {
  if (!peer.timeout || peer.name.startsWith('floor') || peer.only) return undefined
  const timeout = peer.timeout(5)
  const token = peer.timeoutToken(timeout)
  const patience = performance.now() + 40
  let fired = false
  while (!fired && performance.now() < patience) fired = polled(peer, token) > 0
  peer.timeoutEnd?.(timeout)
  return fired
}

/** @returns {Promise<{ tried: string[], firesInLoop: boolean | undefined }>} What was tried; throws at the first that is wrong. */
export async function verify(peer) {
  const tried = []
  for (const [name, trial] of Object.entries(trials)) {
    if (trial.needs.some((need) => peer[need] === undefined)) continue
    try {
      await trial.try(peer)
    } catch (cause) {
      throw new Error(`${peer.name}: ${name}: ${cause.message}`, { cause })
    }
    tried.push(name)
  }
  return { tried, firesInLoop: firesInLoop(peer) }
}
