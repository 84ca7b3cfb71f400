import { fresh } from '../measure/fresh.mjs'

/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'race',
    title: 'race a promise on one long-lived token',
    references: ['native', 'native naive Promise.race'],
    needs: ['create', 'race'],
    collecting: true,
    make(peer) {
      let source
      const loop = fresh((race) => async (times, token) => {
        let sum = 0
        for (let i = 0; i < times; i++) sum += await race(token, Promise.resolve(i & 1))
        return sum
      })(peer.race)
      return {
        peer: peer.name,
        // Long-lived is a sample: a promise that was raced a million times slows down whatever comes after it.
        setup() {
          source = peer.create()
        },
        run: (times) => loop(times, peer.token(source)),
        most: 50_000,
      }
    },
  },
  {
    name: 'delay-cancel',
    title: 'start a sleep and call it off',
    references: ['native'],
    needs: ['calledOff'],
    collecting: true,
    make(peer) {
      const loop = fresh((calledOff) => async (times) => {
        let off = 0
        for (let i = 0; i < times; i++) if (await calledOff()) off++
        if (off !== times) throw new Error(`called off ${off} times of ${times}`)
        return off
      })
      return { peer: peer.name, run: loop(peer.calledOff), most: 20_000 }
    },
  },
]
