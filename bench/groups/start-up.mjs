// What a command of the command line costs before it does anything: whole processes, in turns.
import { execFileSync } from 'node:child_process'

const rounds = { quick: 5, full: 60 }
/** Milliseconds after which what there is has to do. */
const budgets = { quick: 1_000, full: 12_000 }

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'start-up',
    title: 'a process of the command line, from its start to its end',
    references: ['floor: node -e 0'],
    needs: ['starts'],
    async measure(group, peers, mode) {
      const rows = peers.map((peer) => ({ peer: peer.name, samples: [] }))
      // The first round is for the file system.
      const end = performance.now() + budgets[mode]
      for (let round = -1; round < rounds[mode] && (round < 3 || performance.now() < end); round++) {
        for (const [at, peer] of peers.entries()) {
          const begin = performance.now()
          execFileSync(process.execPath, peer.starts, { stdio: 'ignore' })
          if (round >= 0) rows[at].samples.push((performance.now() - begin) * 1e6)
        }
      }
      return [{ table: group.name, rows }]
    },
  },
]
