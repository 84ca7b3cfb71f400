/** What a hub promises, over HTTP: the cases of `hubConformance` run on tokens of `httpToken` and cancels of `stop`. */
import { after, before, describe, it } from 'node:test'
import { httpToken, stop } from 'calloff/http/client'
import type { CancelOptions, NameOptions, TokenHub } from 'calloff/remote'
import { hubConformance } from 'calloff/testing'
import { makeWorld, type Web, type World } from './client-world.js'

/** What a client over HTTP cannot do. A case that does it is left out. */
const LEFT_OUT = [
  /\bleases?\b/, // there are none over HTTP
  /exposed?\b/,
  'a cancel takes effect at once where it is made, on every token of the name', // a token knows no other token of its process
  'a mark lives for its ttl', // the server decides how long
  'a closed hub ends its tokens',
  'a list shows', // the hub makes it
  'a thousand tokens', // a load test, with a thousand streams
  'cancels during a cut', // client-token.test.ts cuts
]

describe('the promises of a hub over HTTP', () => {
  let world: World
  let web: Web
  before(async () => {
    world = await makeWorld()
    web = await world.serve({ limits: { streamsOfClient: 5_000 } })
  })
  after(() => world[Symbol.asyncDispose]())

  const cases = hubConformance({ connect: async () => hubOver(world, web) })
  for (const { name, run } of cases) {
    if (!LEFT_OUT.some((part) => (typeof part === 'string' ? name.startsWith(part) : part.test(name)))) it(name, run)
  }
})

/** A hub whose tokens and cancels go over HTTP. */
function hubOver(world: World, { url }: Web): TokenHub {
  const tokens: Disposable[] = []
  const hub = {
    open(name: string, options?: NameOptions) {
      const token = httpToken(url, name, options)
      tokens.push(token)
      return token
    },
    cancel: (name: string, reason?: unknown, options?: CancelOptions) => stop(url, name, { reason, ...options }),
    list: (prefix: string) => world.hub.list(prefix),
    forget: async (name: string) => {
      await fetch(`${url}/v1/forget?name=${encodeURIComponent(name)}`, { method: 'POST' })
    },
    async close() {
      for (const token of tokens) token[Symbol.dispose]()
    },
  }
  return hub as unknown as TokenHub
}
