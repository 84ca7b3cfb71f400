/** Tokens, races and scopes that are dropped while an observer looks on leave nothing behind. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scope, SimpleToken, TimeoutToken, trace } from 'calloff'
import { FLAT, leaves } from './collect.js'
import { nothing } from './lost.js'

const uses: Readonly<Record<string, () => unknown>> = {
  'a token that is dropped': () => new SimpleToken({ name: 'dropped' }),
  'a token with a listener that is dropped': () => new SimpleToken().onCancel(nothing),
  'a token that is cancelled': () => new SimpleToken({ name: 'cancelled' }).cancel('enough'),
  'a deadline that is dropped': () => new TimeoutToken(60_000),
}

for (const [what, use] of Object.entries(uses)) {
  test(`under an observer, a million times ${what} leaves nothing`, async () => {
    let seen = 0
    using _ = trace({
      cancel: () => void seen++,
      notice: () => void seen++,
      deadlines: true,
      around: (_event, run) => run(),
    })
    await leaves(FLAT, 1_000_000, use, 20_000)
    assert.ok(seen > 0 || what === 'a deadline that is dropped')
  })
}

test('under an observer, scopes below a token that lives long leave nothing', async () => {
  const parent = new SimpleToken()
  let ended = 0
  using _ = trace({ taskEnd: () => void ended++, scopeEnd: () => void ended++ })
  await leaves(FLAT, 10_000, () => scope(parent, (s) => s.run(async () => {})))
  assert.ok(ended > 0)
})
