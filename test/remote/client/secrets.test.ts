/** A hub keeps its key and its passwords to itself: nothing that logs, prints or walks through a hub finds them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { connectHub, type HubOptions, TokenServer } from 'calloff/remote'

const SECRET = 'open sesame, the longest of keys'
const bytes = [...new TextEncoder().encode(SECRET)].join()

/** Where a hub gets its secrets from. No server answers there. */
const hubs: Readonly<Record<string, readonly [url: string, options: HubOptions]>> = {
  'the key of TCP': ['tcp://127.0.0.1:1', { key: SECRET }],
  'the key of a Unix socket': ['unix:/nowhere/socket', { key: SECRET }],
  'the private key of TLS': ['tls://127.0.0.1:1', { key: SECRET, tls: { passphrase: SECRET } }],
  'the password of Redis': [`redis://:${encodeURIComponent(SECRET)}@127.0.0.1:1`, {}],
  'the password of NATS': [`nats://user:${encodeURIComponent(SECRET)}@127.0.0.1:1`, {}],
  'the password of PostgreSQL': [`postgres://user:${encodeURIComponent(SECRET)}@127.0.0.1:1/hub`, {}],
}

/** Whether a text has the secret, as a text, in a URL, or as the numbers of its bytes. */
function tells(text: string): boolean {
  const plain = text.replaceAll(/\s+/g, '')
  return [SECRET, encodeURIComponent(SECRET)].some((form) => text.includes(form)) || plain.includes(bytes)
}

/** The paths to the secret over all own properties, whatever they are called. */
function pathsToSecret(start: object): string[] {
  const found: string[] = []
  const seen = new Set<unknown>()
  const visit = (value: unknown, path: string): void => {
    if (typeof value === 'string' && tells(value)) found.push(path)
    if (typeof value !== 'object' || value === null || seen.has(value)) return
    seen.add(value)
    if (value instanceof Uint8Array) {
      if (tells([...value].join())) found.push(path)
      return
    }
    for (const key of Reflect.ownKeys(value)) {
      visit(Reflect.getOwnPropertyDescriptor(value, key)?.value, `${path}.${String(key)}`)
    }
  }
  visit(start, 'hub')
  return found
}

function assertSilent(one: object): void {
  assert.deepEqual(pathsToSecret(one), [])
  assert.ok(!tells(inspect(one, { depth: Infinity, showHidden: true, maxArrayLength: Infinity })))
  assert.ok(!tells(JSON.stringify(one)))
}

for (const background of [false, true]) {
  describe(background ? 'a hub in the background' : 'a hub', () => {
    for (const [what, [url, options]] of Object.entries(hubs)) {
      it(`does not show ${what}`, async () => {
        const hub = await connectHub(url, { ...options, background, lazy: true })
        try {
          assertSilent(hub)
        } finally {
          await hub.close({ timeout: 0 })
        }
      })
    }

    it('does not show its key while it is connected, with a token open', async () => {
      await using server = await TokenServer.listen({ port: 0, key: SECRET })
      await using hub = await connectHub(server.url, { key: SECRET, background })
      const token = hub.open('job')
      await token.ready
      for (const one of [hub, server, token]) assertSilent(one)
    })
  })
}
