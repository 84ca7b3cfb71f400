import { describe, it } from 'node:test'
import assert from 'node:assert/strict'
import { SimpleToken } from 'calloff'

describe('1. trees of tokens, as Go, tokio and asyncio-cancel-token have them', () => {
  it('a cancel goes to all descendants and to no other token', () => {
    const root = new SimpleToken()
    const [left, right] = [new SimpleToken(root), new SimpleToken(root)]
    const [a, b] = [new SimpleToken(left), new SimpleToken(left)]
    left.cancel()
    assert.deepEqual(
      [root, left, right, a, b].map((token) => token.cancelled),
      [false, true, false, true, true],
    )
    root.cancel()
    assert.equal(right.cancelledBy, root)
    assert.equal(a.cancelledBy, left)
  })

  it('a chain of chains names who was triggered, whichever it is', () => {
    for (const at of [0, 1, 2]) {
      const tokens = ['a', 'b', 'c'].map((name) => new SimpleToken({ name })) as [SimpleToken, SimpleToken, SimpleToken]
      const middle = tokens[0].plus(tokens[1])
      const chain = middle.plus(tokens[2])
      assert.equal(chain.cancelled, false)
      tokens[at]?.cancel()
      assert.equal(chain.cancelled, true)
      assert.equal(chain.cancelledBy, tokens[at])
      assert.equal(middle.cancelled, at < 2)
      assert.equal(tokens.filter((token) => token.cancelled).length, 1)
    }
  })

  it('a token made under a dead one is dead, and so is one made under that', () => {
    const root = new SimpleToken().cancel('root')
    const child = new SimpleToken(root)
    const grandchild = child.plus(new SimpleToken())
    assert.equal(grandchild.reason, 'root')
    assert.equal(child.cancelled, true)
  })

  it('polls right however often others are cancelled in between', () => {
    const root = new SimpleToken()
    const tokens = Array.from({ length: 50 }, () => new SimpleToken(new SimpleToken(root)))
    for (const [i, token] of tokens.entries()) {
      assert.equal(token.cancelled, false)
      token.cancel(i)
      tokens.forEach((other, j) => assert.equal(other.cancelled, j <= i))
    }
    assert.equal(root.cancelled, false)
  })

  it('a chain of 100,000 tokens polls, listens, cancels and gives its text', () => {
    const root = new SimpleToken()
    let token = new SimpleToken(root)
    for (let i = 0; i < 100_000; i++) token = new SimpleToken(token)
    assert.equal(token.cancelled, false)
    let calls = 0
    token.onCancel(() => calls++)
    root.cancel('root')
    assert.equal(calls, 1)
    assert.equal(token.reason, 'root')
    assert.ok(String(token).length > 100_000)
  })

  it('a chain of 100,000 tokens without listeners finds a cancel at its top', () => {
    const root = new SimpleToken()
    let token = new SimpleToken(root)
    for (let i = 0; i < 100_000; i++) token = new SimpleToken(token)
    root.cancel('root')
    assert.equal(token.cancelledBy, root)
  })
})
