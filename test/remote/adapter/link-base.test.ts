/** What every link does for its engine, whatever the server is. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NEVER } from 'calloff'
import { LinkBase, openLink, type Opening } from 'calloff/remote/engine'

/** A link whose server never answers. */
class SilentLink extends LinkBase {
  request(): Promise<never> {
    return this.ask(() => new Promise<never>(() => {}))
  }
}

async function silentLink(): Promise<{ link: SilentLink; opening: Opening; lost: Error[] }> {
  const lost: Error[] = []
  let opening: Opening | undefined
  const rules = { place: 'nowhere', classify: () => 'gone' as const }
  const session = { id: 's', host: 'h', pid: 1, ttl: 1_000 }
  const events = { notice: () => {}, lost: (error: Error) => void lost.push(error) }
  const open = openLink as unknown as (...all: unknown[]) => Promise<SilentLink>
  const link = await open(rules, session, events, NEVER, async (made: Opening) => new SilentLink((opening = made)))
  return { link, opening: opening as Opening, lost }
}

const ends: Readonly<Record<string, (link: SilentLink, opening: Opening) => void>> = {
  'is closed': (link) => link.close(),
  'has failed': (link) => link.fail(new Error('the server speaks nonsense')),
  'has lost its connection': (_, opening) => opening.lost(new Error('ECONNRESET')),
}

describe('a link that', () => {
  for (const [what, end] of Object.entries(ends)) {
    it(`${what} rejects its pending requests, and each later one, with one error`, async () => {
      const { link, opening, lost } = await silentLink()
      const pending = [link.request(), link.request()]
      end(link, opening)
      const errors = (await Promise.allSettled([...pending, link.request()])).map(
        (one) => (one as PromiseRejectedResult).reason,
      )
      assert.ok(errors[0] instanceof Error)
      assert.deepEqual(new Set(errors).size, 1)
      assert.deepEqual(lost, what === 'is closed' ? [] : [errors[0]])
    })
  }
})
