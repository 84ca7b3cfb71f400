import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import process from 'node:process'
import { Redis } from 'ioredis'
import { SimpleToken } from 'calloff'
import * as node from 'calloff/node'
import { connectHub, type TokenHub, TokenServer } from 'calloff/remote'
import { natsEngine } from 'calloff/remote/nats'
import { postgresEngine } from 'calloff/remote/postgres'
import { redisEngine } from 'calloff/remote/redis'

type Loose = (options: object) => unknown

interface Row {
  readonly call: string
  readonly with: Loose
  /** One of its options, mistyped, and right. */
  readonly mistakes: Readonly<Record<string, string>>
}

const token = new SimpleToken({ cancelled: true })
const loose = (value: unknown) => value as never
const nothing = () => {}
/** What a connection to NATS looks like; nothing of it is called. */
const neverCalled = loose({ request: nothing, subscribe: nothing, status: nothing, getServer: nothing })

/** Every function of `calloff/node` that takes options. */
const rows: readonly Row[] = [
  {
    call: 'run',
    with: (o) => node.run('true', [], o),
    mistakes: { maxbuffer: 'maxBuffer', cdw: 'cwd', gracee: 'grace' },
  },
  {
    call: 'spawn',
    with: (o) => node.spawn('true', [], o),
    mistakes: { stopSignl: 'stopSignal', envs: 'env', sdtio: 'stdio' },
  },
  {
    call: 'new ProcessSignalToken',
    with: (o) => new node.ProcessSignalToken('SIGUSR2', o),
    mistakes: { nmae: 'name' },
  },
  {
    call: 'fromParent',
    with: (o) => node.fromParent(o),
    mistakes: { backgroud: 'background', falback: 'fallback' },
  },
  { call: 'lendToken', with: (o) => node.lendToken(token, o), mistakes: { stopsignal: 'stopSignal' } },
  { call: 'fromRequest', with: (o) => node.fromRequest(new Request('http://localhost'), o), mistakes: { nam: 'name' } },
  { call: 'withRequestToken', with: (o) => node.withRequestToken(() => new Response(), o), mistakes: { nam: 'name' } },
  { call: 'on', with: (o) => node.on(new EventEmitter(), 'kek', token, o), mistakes: { closed: 'close' } },
  {
    call: 'pipeline',
    with: (o) => node.pipeline([], process.stdout, loose(o)),
    mistakes: { tokn: 'token', ends: 'end' },
  },
  {
    call: 'pipeTo',
    with: (o) => node.pipeTo(new ReadableStream(), new WritableStream(), o),
    mistakes: { toke: 'token', preventclose: 'preventClose' },
  },
  { call: 'TokenServer.listen', with: (o) => TokenServer.listen(o), mistakes: { prot: 'port', journall: 'journal' } },
  {
    call: 'limits of TokenServer.listen',
    with: (o) => TokenServer.listen({ port: 0, limits: o }),
    mistakes: { conections: 'connections' },
  },
  {
    call: 'connectHub',
    with: (o) => connectHub('tcp://localhost:1', o),
    mistakes: { onDisconect: 'onDisconnect', sessionTTL: 'sessionTtl', backgound: 'background' },
  },
  {
    call: 'connectHub in the background',
    with: (o) => connectHub('tcp://localhost:1', { background: true, ...o }),
    mistakes: { onDisconect: 'onDisconnect' },
  },
  {
    call: 'backOff of connectHub',
    with: (o) => connectHub('tcp://localhost:1', { backOff: o }),
    mistakes: { frist: 'first' },
  },
  { call: 'natsEngine', with: (o) => natsEngine(neverCalled, o), mistakes: { replica: 'replicas' } },
  {
    call: 'postgresEngine',
    with: (o) =>
      postgresEngine(
        loose(() => ({})),
        o,
      ),
    mistakes: { tabel: 'table' },
  },
  { call: 'redisEngine', with: (o) => redisEngine(new Redis({ lazyConnect: true }), o), mistakes: { prefx: 'prefix' } },
]

/** What takes options of a hub. */
const ofHub: readonly { call: string; with: (hub: TokenHub, options: object) => unknown; mistakes: Row['mistakes'] }[] =
  [
    { call: 'open', with: (hub, o) => hub.open('kek', o), mistakes: { onDisconect: 'onDisconnect', runid: 'runId' } },
    { call: 'cancel', with: (hub, o) => hub.cancel('kek', 5, o), mistakes: { timout: 'timeout', untill: 'until' } },
    { call: 'expose', with: (hub, o) => hub.expose('kek', token, o), mistakes: { cancelable: 'cancellable' } },
    { call: 'forget', with: (hub, o) => hub.forget('kek', o), mistakes: { runIds: 'runId' } },
    { call: 'lease', with: (hub, o) => hub.lease('kek', { ttl: 1_000, ...o }), mistakes: { timeuot: 'timeout' } },
    { call: 'close', with: (hub, o) => hub.close(o), mistakes: { tmeout: 'timeout' } },
  ]

async function assertRefused(call: string, how: Loose, mistakes: Row['mistakes']): Promise<void> {
  for (const [mistyped, meant] of Object.entries(mistakes)) {
    await assert.rejects(
      async () => how({ [mistyped]: 5 }),
      { name: 'TypeError', message: `there is no option "${mistyped}", did you mean "${meant}"?` },
      call,
    )
  }
  await assert.rejects(async () => how({ zzzzz: 5 }), /TypeError: there is no option "zzzzz", only /, call)
}

describe('an option that does not exist', () => {
  for (const { call, with: how, mistakes } of rows) {
    it(`${call} says so, and which one was meant`, () => assertRefused(call, how, mistakes))
  }

  for (const background of [false, true]) {
    it(`a hub says so${background ? ', in the background too' : ''}`, async () => {
      await using server = await TokenServer.listen({ port: 0 })
      await using hub = await connectHub(server.url, { background })
      for (const { call, with: how, mistakes } of ofHub) await assertRefused(call, (o) => how(hub, o), mistakes)
      assert.equal(hub.state, 'connected')
    })
  }
})
