/** What the inspector keeps of the tokens that it has noticed. On Node, Bun and Deno. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { scope, SimpleToken } from 'calloff'
import { FLAT, isBrowser, leaves, survivors } from './collect.js'

const skip = isBrowser && 'it is for processes'

describe('under the inspector', () => {
  let inspector: Disposable | undefined
  after(() => inspector?.[Symbol.dispose]())
  before(async () => {
    if (isBrowser) return
    // No module for a page.
    const name = 'calloff/inspector'
    const { startInspector } = (await import(name)) as { startInspector(): Disposable }
    inspector = startInspector()
  })
  const server = new SimpleToken({ name: 'server' })

  it('tokens that are made, listened to and dropped leave nothing', { skip }, async () => {
    await leaves(FLAT, 300_000, () => new SimpleToken({ name: 'request' }, server).onCancel(() => {}).stop())
  })

  it('a cancelled token is collected, but for the last hundreds', { skip }, async () => {
    const left = await survivors(2_000, () => {
      const token = new SimpleToken({ name: 'request' })
      token.cancel('over')
      return token
    })
    assert.ok(left <= 200, `${left} of 2000 are left`)
  })

  it('scopes that have ended leave nothing', { skip }, async () => {
    await leaves(FLAT, 20_000, () =>
      scope(server, async (s) => {
        await s.run(() => 1)
      }),
    )
  })
})
