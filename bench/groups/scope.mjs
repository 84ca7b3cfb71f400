/** Works that begin and end together. */
import { fresh } from '../measure/fresh.mjs'

const VALUES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'scope-together',
    title: 'ten async works that can be called off, started and waited for',
    references: ['native'],
    needs: ['together'],
    collecting: true,
    make(peer) {
      const loop = fresh((together) => async (times, values) => {
        let sum = 0
        for (let i = 0; i < times; i++) sum += await together(values)
        if (sum !== times * 55) throw new Error(`the sum is ${sum}`)
        return sum
      })(peer.together)
      return { peer: peer.name, run: (times) => loop(times, VALUES), most: 5_000 }
    },
  },
  {
    name: 'scope-failure',
    title: 'one of ten works fails, the others are called off and waited for',
    references: ['native'],
    needs: ['oneFails'],
    collecting: true,
    make(peer) {
      const loop = fresh((oneFails) => async (times) => {
        let stopped = 0
        for (let i = 0; i < times; i++) stopped += await oneFails(9)
        if (stopped !== times * 9) throw new Error(`${stopped} works were stopped`)
        return stopped
      })(peer.oneFails)
      return { peer: peer.name, run: loop, most: 5_000 }
    },
  },
]
