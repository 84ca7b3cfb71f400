/** What is on the wire: every message there and back, frames in pieces, and whatever a stranger may send. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HubError } from 'calloff/remote'
import { runs } from '../../property/runs.js'
import { isProof, type Message, never, openLink, Peer, proofOf, protocol, Store, WireLink } from '../inside.js'
import { chance } from '../simulation/world.js'

const { decode, encode, Frames } = protocol

const nonce = (byte: number) => new Uint8Array(32).fill(byte)
const topic = { name: 'jöb 😀', runId: '2' }
const mark = {
  id: 'abc-1',
  kind: 'manual',
  reason: '"stop"',
  host: 'web-3',
  pid: 4711,
  token: 'request',
  what: 'was cancelled',
  at: 1.5,
}
const lease = { fence: 2 ** 52, left: 0.25, lost: 7 }
const holder = { session: 's', host: 'h', pid: 1, id: 2 ** 32 - 1, state: 2, role: 1, since: 3, silent: true }

const samples: readonly Message[] = [
  { type: 'hello', magic: 'calloff', least: 1, version: 1, nonce: nonce(1) },
  { type: 'challenge', version: 1, nonce: nonce(2) },
  { type: 'proof', mac: nonce(3), session: 's', host: 'h', pid: 1, ttl: 30_000 },
  { type: 'welcome', mac: nonce(4), frame: 65_536, sinceRestart: undefined },
  { type: 'welcome', mac: nonce(4), frame: 65_536, sinceRestart: 12.5 },
  { type: 'goodbye', code: 'ERR_HUB_AUTH', message: 'no' },
  { type: 'enter', id: 1, holders: [{ id: 1, topic, state: 0, role: 0, since: 5 }] },
  { type: 'leave', id: 2, holders: [1, 2, 3] },
  { type: 'read', id: 3, topics: [topic, { name: 'b', runId: '' }] },
  { type: 'mark', id: 4, topic, mark, ttl: 86_400_000 },
  { type: 'list', id: 5, prefix: 'jö', topic: undefined },
  { type: 'list', id: 5, prefix: undefined, topic },
  { type: 'forget', id: 6, topic },
  { type: 'beat', id: 7 },
  { type: 'acquire', id: 8, topic, owner: 's/1', ttl: 1_000 },
  { type: 'renew', id: 9, topic, fence: 12, ttl: 1_000 },
  { type: 'release', id: 10, topic, fence: 12 },
  { type: 'bye', id: 11 },
  { type: 'done', id: 12, yes: false },
  {
    type: 'states',
    id: 13,
    states: [
      { topic, mark, lease },
      { topic, mark: undefined, lease: undefined },
    ],
    more: true,
  },
  { type: 'marked', id: 14, mark },
  { type: 'reports', id: 15, reports: [{ topic, mark, lease, holders: [holder] }], more: false },
  { type: 'acquired', id: 16, held: true, fence: 3, left: 0 },
  { type: 'failed', id: 17, code: 'ERR_HUB_REFUSED', message: 'full' },
  { type: 'notice', topic, mark, lease: undefined },
]

/** Cuts bytes into frames, however they come. */
function framesIn(chunks: Iterable<Uint8Array>, limit = 65_536): Uint8Array[] {
  const frames = new Frames(limit)
  const found: Uint8Array[] = []
  for (const chunk of chunks) {
    frames.add(chunk)
    for (let frame = frames.next(); frame; frame = frames.next()) found.push(frame.slice())
  }
  return found
}

const isProtocolError = (error: unknown) => error instanceof HubError && error.code === 'ERR_HUB_PROTOCOL'

describe('messages', () => {
  it('arrive as they were sent', () => {
    for (const message of samples) assert.deepEqual(decode(encode(message).subarray(4)), message)
  })

  it('may be longer than this version knows', () => {
    for (const message of samples) {
      assert.deepEqual(decode(Uint8Array.of(...encode(message).subarray(4), 1, 2, 3)), message)
    }
  })

  it('that end too early, anywhere, are refused', () => {
    for (const message of samples) {
      const frame = encode(message).subarray(4)
      for (let end = 0; end < frame.length; end++) assert.throws(() => decode(frame.subarray(0, end)), isProtocolError)
    }
  })

  it('with text that is too long, or a NUL in a name, are not sent or not let in', () => {
    assert.throws(() => encode({ type: 'forget', id: 1, topic: { name: 'x'.repeat(257), runId: '' } }), isProtocolError)
    const frame = encode({ type: 'forget', id: 1, topic: { name: 'a\0b', runId: '' } }).subarray(4)
    assert.throws(() => decode(frame), /NUL/)
  })
})

describe('frames', () => {
  const bytes = Uint8Array.from(samples.flatMap((message) => [...encode(message)]))
  const whole = samples.map((message) => encode(message).subarray(4))

  it('come out whole, however the bytes come', () => {
    const bare = (frames: Uint8Array[]) => frames.map((frame) => Buffer.from(frame).toString('hex'))
    const expected = bare(whole.map((frame) => frame.slice()))
    for (const size of [1, 2, 3, 5, 7, 64, 1_000, bytes.length]) {
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      )
      assert.deepEqual(bare(framesIn(chunks)), expected, `in chunks of ${size}`)
    }
  })

  it('that are too large are refused by their length alone', () => {
    const head = Uint8Array.of(0xff, 0xff, 0xff, 0xff)
    assert.throws(() => framesIn([head]), /frame of 4294967295 bytes exceeds the limit of 65536/)
    assert.throws(() => framesIn(Array.from(head, (byte) => Uint8Array.of(byte))), isProtocolError)
  })

  it('are complete though the memory that they arrive in is used again, wherever they are cut', () => {
    const hex = (frame: Uint8Array) => Buffer.from(frame).toString('hex')
    const memory = new Uint8Array(64)
    for (let size = 1; size <= memory.length; size++) {
      const frames = new Frames(65_536)
      const found: Uint8Array[] = []
      for (let at = 0; at < bytes.length; at += size) {
        const part = bytes.subarray(at, at + size)
        memory.set(part)
        frames.add(memory.subarray(0, part.length))
        for (let frame = frames.next(); frame; frame = frames.next()) found.push(frame.slice())
        memory.fill(0xff)
      }
      assert.deepEqual(found.map(hex), whole.map(hex), `in chunks of ${size}`)
    }
  })
})

describe('whatever is sent', () => {
  const seed = runs(0).seed ?? 1
  const count = runs(60_000).numRuns ?? 0

  it(`a decoder throws a HubError, or gives a message that can be sent again (${count} frames)`, () => {
    const random = chance(seed)
    const frames = samples.map((message) => encode(message).subarray(4))
    for (let i = 0; i < count; i++) {
      let frame: Uint8Array
      if (i % 2) {
        frame = Uint8Array.from({ length: Math.floor(random() * 64) }, () => random() * 256)
        if (frame.length > 0 && i % 4 === 1) frame[0] = frames[Math.floor(random() * frames.length)]![0]!
      } else {
        frame = frames[Math.floor(random() * frames.length)]!.slice(
          0,
          random() < 0.2 ? Math.floor(random() * 200) : undefined,
        )
        for (let n = 1 + Math.floor(random() * 3); n > 0; n--)
          frame[Math.floor(random() * frame.length)] = random() * 256
      }
      let message: Message
      try {
        message = decode(frame)
      } catch (error) {
        assert.ok(isProtocolError(error), `${Buffer.from(frame).toString('hex')} gives ${String(error)}`)
        continue
      }
      // Numbers may be written in another way, texts not.
      assert.deepEqual(decode(encode(message).subarray(4)), message)
    }
  })

  /** A server and a client, joined by hand. */
  function pair(serverKey: string, clientKey: string, store = new Store({ marks: 10, names: 10 })) {
    const key = (text: string) => new TextEncoder().encode(text)
    const toServer: Uint8Array[] = []
    const toClient: Uint8Array[] = []
    const seen = { opened: 0, ended: 0 }
    let link!: WireLink
    const rules = { place: 'here', classify: () => 'gone' as const }
    const session = { id: 's', host: 'h', pid: 1, ttl: 30_000 }
    const opened = openLink(rules, session, { notice: () => {}, lost: () => {} }, never, (opening) => {
      const send = (bytes: Uint8Array) => void toServer.push(bytes)
      link = new WireLink(opening, { send, key: key(clientKey), nonce: nonce(1), opened: () => seen.opened++ })
      return new Promise<WireLink>(() => {})
    })
    opened.catch(() => {})
    const peer = new Peer(
      store,
      { send: (bytes) => toClient.push(bytes), end: () => seen.ended++ },
      { key: key(serverKey), nonce: nonce(2), frame: 65_536, handshakeWithin: 60_000 },
    )
    const run = () => {
      while (toServer.length + toClient.length > 0) {
        for (const bytes of toServer.splice(0)) peer.receive(bytes)
        for (const bytes of toClient.splice(0)) link.receive(bytes)
      }
    }
    const close = () => {
      peer.closed()
      link.close()
      store.close()
    }
    return { link, opened, peer, seen, run, toServer, toClient, close }
  }

  it('a peer that has not shown the key gets nothing done, and a client trusts no server without it', async () => {
    for (const [serverKey, clientKey] of [
      ['a key of sixteen', 'another key here'],
      ['a key of sixteen', ''],
      ['', 'a key of sixteen'],
    ] as const) {
      const { link, opened, peer, seen, run, close } = pair(serverKey, clientKey)
      link.begin()
      run()
      assert.deepEqual([seen.opened, peer.isOpen, seen.ended], [0, false, 1])
      await assert.rejects(opened, { code: 'ERR_HUB_AUTH' })
      close()
    }
  })

  it('the handshake opens with the same key on both sides', () => {
    const { link, peer, seen, run, close } = pair('a key of sixteen', 'a key of sixteen')
    link.begin()
    run()
    assert.deepEqual([seen.opened, peer.isOpen, seen.ended], [1, true, 0])
    close()
  })

  const outOfRange: readonly (readonly [what: string, message: Message])[] = [
    ['a moment that no date can be', { type: 'mark', id: 1, topic, mark: { ...mark, at: 1e300 }, ttl: 1 }],
    ['a moment that is no number', { type: 'mark', id: 1, topic, mark: { ...mark, at: Number.NaN }, ttl: 1 }],
    ['a negative moment', { type: 'enter', id: 1, holders: [{ id: 1, topic, state: 0, role: 0, since: -1 }] }],
    ['a duration without an end', { type: 'acquire', id: 1, topic, owner: 's', ttl: Infinity }],
    ['a duration that no clock counts', { type: 'mark', id: 1, topic, mark, ttl: 1e300 }],
    ['a fence that is no whole number', { type: 'renew', id: 1, topic, fence: 0.5, ttl: 1 }],
    ['a fence beyond the whole numbers', { type: 'release', id: 1, topic, fence: 2 ** 60 }],
  ]
  for (const [what, message] of outOfRange) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decode(encode(message).subarray(4)), { code: 'ERR_HUB_PROTOCOL' })
    })
  }

  it('an old proof, and the proof of the other role, are worth nothing', () => {
    const key = new TextEncoder().encode('a key of sixteen')
    const agreed = { least: 1, most: 1, version: 1, clientNonce: nonce(1), serverNonce: nonce(2), session: 's' }
    const proof = proofOf('client', key, agreed)
    assert.ok(isProof('client', key, agreed, proof))
    assert.ok(!isProof('server', key, agreed, proof), 'reflected')
    assert.ok(!isProof('client', key, { ...agreed, serverNonce: nonce(3) }, proof), 'replayed')
    assert.ok(!isProof('client', key, { ...agreed, clientNonce: nonce(2), serverNonce: nonce(1) }, proof), 'swapped')
    assert.ok(!isProof('client', key, { ...agreed, session: 't' }, proof), 'of another session')
    assert.ok(!isProof('client', key, { ...agreed, least: 0 }, proof), 'offered an older version as well')
    assert.ok(!isProof('client', key, { ...agreed, most: 2 }, proof), 'offered a newer version as well')
    assert.ok(!isProof('client', key, agreed, proof.subarray(1)), 'cut off')
  })

  it('a recorded conversation opens no second one', () => {
    const first = pair('a key of sixteen', 'a key of sixteen')
    const recorded: Uint8Array[] = []
    first.link.begin()
    recorded.push(...first.toServer.map((bytes) => bytes.slice()))
    for (const bytes of first.toServer.splice(0)) first.peer.receive(bytes)
    for (const bytes of first.toClient.splice(0)) first.link.receive(bytes)
    recorded.push(...first.toServer.map((bytes) => bytes.slice()))
    first.close()
    const store = new Store({ marks: 10, names: 10 })
    let ended = 0
    const peer = new Peer(
      store,
      { send: () => {}, end: () => ended++ },
      { key: new TextEncoder().encode('a key of sixteen'), nonce: nonce(9), frame: 65_536, handshakeWithin: 60_000 },
    )
    for (const bytes of recorded) peer.receive(bytes)
    assert.deepEqual([recorded.length, peer.isOpen, ended], [2, false, 1])
    store.close()
  })

  it('what comes late over an old connection does nothing any more: the new one of its session has taken over', () => {
    const store = new Store({ marks: 10, names: 10 })
    const [old, fresh] = [pair('', '', store), pair('', '', store)]
    old.link.begin()
    old.run()
    // Sent over the old one, which is then given up; it is on its way still.
    old.link.mark(topic, mark, 60_000).catch(() => {})
    old.link.acquire(topic, 's/1', 60_000).catch(() => {})
    old.link.enter([{ id: 1, topic, state: 0, role: 0, since: 0 }]).catch(() => {})
    const late = old.toServer.splice(0)
    fresh.link.begin()
    fresh.run()
    assert.deepEqual([fresh.peer.isOpen, old.seen.ended], [true, 1])
    for (const bytes of late) old.peer.receive(bytes)
    assert.deepEqual(store.list({ topic }), [])
    for (const one of [old, fresh]) one.close()
  })

  it('before the end of the handshake, no message does anything but end the connection', () => {
    for (const message of samples) {
      if (message.type === 'hello') continue
      const { peer, seen, close } = pair('', '')
      peer.receive(encode(message))
      assert.deepEqual([seen.ended, peer.isOpen], [1, false], message.type)
      close()
    }
  })

  it('mutated conversations break no server and no client', () => {
    const random = chance(seed)
    for (let i = 0; i < Math.min(2_000, count); i++) {
      const { link, peer, seen, toServer, toClient, close } = pair('', '')
      link.begin()
      const mangle = (bytes: Uint8Array) => {
        const mangled = bytes.slice()
        if (random() < 0.2) mangled[Math.floor(random() * mangled.length)] = random() * 256
        return mangled
      }
      for (let turn = 0; turn < 20 && toServer.length + toClient.length > 0; turn++) {
        for (const bytes of toServer.splice(0)) peer.receive(mangle(bytes))
        for (const bytes of toClient.splice(0)) link.receive(mangle(bytes))
        if (seen.opened > 0 && turn < 10) {
          link.mark(topic, mark, 1_000).catch(() => {})
          link.enter([{ id: turn, topic, state: 0, role: 0, since: 0 }]).catch(() => {})
          link.list({ prefix: '' }).catch(() => {})
        }
      }
      close()
    }
  })
})
