/**
 * Each attack goes on for as many seconds as `CALLOFF_SOAK` says, divided among them (`npm run test:soak`; half a second each without).
 * Meanwhile another client asks, opens and cancels: all of it is answered, and the server takes no more memory than it may. How long
 * an answer takes is printed, and stands in docs/internals/reliability.md.
 */
import assert from 'node:assert/strict'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { after, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { connectHub } from 'calloff/remote'
import { Helper } from '../../soak/orders.js'
import { floods } from '../attacker.js'

const attacks = [...Object.keys(floods), 'sessions', 'deaf', 'strangers']
const given = process.env['CALLOFF_SOAK']
const seconds = given === undefined ? 0.5 : Number(given) / attacks.length
/** Milliseconds between two questions of the other client. */
const PACE = 5
const BYTES = 64e6
/** What a server has besides: its code, and buffers of sockets. */
const BESIDES = 100e6

const programOf = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const shown = (ms: number) => `${ms.toFixed(1)} ms`

function quantiles(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) => shown(sorted[Math.floor(share * (sorted.length - 1))] as number)
  return `median ${at(0.5)}, 99th percentile ${at(0.99)}, longest ${at(1)}, of ${times.length}`
}

describe(`under attack for ${seconds.toFixed(1)} s each`, () => {
  const helpers: Helper[] = []
  after(() => {
    for (const helper of helpers) helper.kill()
  })
  const helper = (file: string, ...args: string[]) => {
    const made = new Helper(programOf(file), ...args)
    helpers.push(made)
    return made
  }

  for (const attack of attacks) {
    it(`${attack}: another client is answered, and memory is bounded`, async () => {
      const server = helper('server.child.js', JSON.stringify({ bytes: BYTES, unread: 1e6 }))
      const url = await server.ask<string>('url')
      await using hub = await connectHub(url)
      await hub.cancel('acknowledged before')
      const attacker = helper('attacker.child.js', url, attack)
      await attacker.ask('begin')

      const times: number[] = []
      const began = performance.now()
      for (let at = 0; at < 10 || performance.now() - began < seconds * 1_000; at++) {
        const sent = performance.now()
        const { mark, delivered } = await hub.cancel(`victim ${at % 100}`, at)
        times.push(performance.now() - sent)
        assert.ok(delivered && mark)
        await pause(PACE)
      }
      let done = 0
      while (done === 0) done = await attacker.ask<number>('done')
      const rss = await server.ask<number>('rss')
      attacker.kill()
      console.log(`${attack}: ${quantiles(times)}; ${done} times attacked; server ${(rss / 1e6).toFixed(0)} MB`)
      const { bytes } = await server.ask<{ bytes: number }>('footprint')
      assert.ok(bytes < BYTES + BESIDES, `the server has ${bytes} bytes`)
      assert.equal((await hub.list('acknowledged before'))[0]?.state, 'cancelled')
      await hub.close()
      server.kill()
    })
  }
})
