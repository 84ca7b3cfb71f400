/**
 * 200 connections of two processes, 10,000 open tokens: they are cancelled, closed, opened and leased at random, connections are
 * cut and hubs replaced, for as many seconds as `CALLOFF_SOAK` says (`npm run test:soak`: a minute; a few without). No cancel is
 * lost, memory stays flat in the server and in the clients, and in the end every process ends by itself.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { after, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { connectHub } from 'calloff/remote'
import { type Footprint, Helper } from './orders.js'

const SHORT = 4
const seconds = Number(process.env['CALLOFF_SOAK'] ?? SHORT)
const isLong = seconds >= 30
const seed = Number(process.env['CALLOFF_SEED'] ?? Date.now() % 1e6)
const HUBS = 100
const SLOTS = 50
/** Looks at the memory, in all. */
const LOOKS = 20
/** Between the second and the last quarter. What a few seconds fill (caches, code, marks that still live) is no leak. */
const growth = isLong ? { times: 1.05, bytes: 1e6 } : { times: 1.3, bytes: 6e6 }

type Counts = Footprint & Readonly<Record<string, number>>

const middle = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

describe(`a soak of ${seconds} s, seed ${seed}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'calloff-soak-'))
  const helpers: Helper[] = []
  after(() => {
    for (const helper of helpers) helper.kill()
    rmSync(folder, { recursive: true, force: true })
  })
  const helper = (file: string, ...given: string[]) => {
    const made = new Helper(file, ...given)
    helpers.push(made)
    return made
  }

  it('loses no cancel, keeps its memory flat, and leaves nothing running', async () => {
    const server = helper('server.child.js', join(folder, 'journal'))
    const { url } = await server.ask<{ url: string }>('url')
    const clients = [1, 2].map((n) => helper('clients.child.js', url, `${HUBS}`, `${SLOTS}`, `${seed * n}`))
    const all = <T>(what: string) => Promise.all(clients.map((client) => client.ask<T>(what)))
    await all('connect')
    await all('run')

    const looks: { server: number; clients: number }[] = []
    const begin = performance.now()
    for (let look = 0; look < LOOKS; look++) {
      await pause(Math.max(0, begin + ((look + 1) * seconds * 1_000) / LOOKS - performance.now()))
      const [here, ...there] = await Promise.all([
        server.ask<Footprint>('footprint'),
        ...clients.map((client) => client.ask<Counts>('footprint')),
      ])
      const bytes = there.reduce((sum, one) => sum + one.bytes, 0)
      looks.push({ server: here.bytes, clients: bytes })
      if (isLong || look === LOOKS - 1) {
        const sum = (key: string) => there.reduce((before, one) => before + (one[key] ?? 0), 0)
        const done = ['opened', 'cancelled', 'heard', 'cut', 'replaced', 'leased'].map((key) => `${sum(key)} ${key}`)
        const took = ((performance.now() - begin) / 1_000).toFixed(0)
        console.log(
          `soak, ${took} s: server ${megabytes(here.bytes)} MB, clients ${megabytes(bytes)} MB; ${done.join(', ')}`,
        )
      }
    }
    await all('stop')

    // What is still on its way arrives; what was lost never does.
    let apart = Infinity
    for (let i = 0; i < 1_200 && apart > 0; i++) {
      await pause(100)
      const [one, other] = await all<{ generations: number[] }>('generations')
      apart = (one?.generations ?? []).filter((generation, at) => generation !== other?.generations[at]).length
    }
    assert.equal(apart, 0, 'slots that have not heard of the same cancels')

    const quarter = (at: number, of: 'server' | 'clients') =>
      middle(looks.slice((at * LOOKS) / 4, ((at + 1) * LOOKS) / 4).map((look) => look[of]))
    for (const of of ['server', 'clients'] as const) {
      const [second, last] = [quarter(1, of), quarter(3, of)]
      console.log(`soak, ${of}: ${megabytes(second)} MB in the second quarter, ${megabytes(last)} MB in the last`)
      assert.ok(last <= second * growth.times + growth.bytes, `the ${of} went from ${second} to ${last} bytes`)
    }

    await all('end')
    for (const client of clients) assert.equal(await client.exited(120_000), 0, 'a process of clients does not end')
    await using hub = await connectHub(url)
    const holders = (await hub.list()).flatMap((listing) => listing.holders).filter(({ silent }) => !silent)
    assert.deepEqual(holders, [], 'is still listed')
    await hub.close()
    await server.ask('end')
    assert.equal(await server.exited(120_000), 0, 'the server does not end')
  })
})
