/** What a server gathers before it writes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { WriteBatch } from '../inside.js'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

describe('an outbox', () => {
  it('writes what is sent in one turn in one go, in order', async () => {
    const written: number[][] = []
    const outbox = new WriteBatch((chunk) => written.push([...chunk]))
    outbox.send(bytes(1, 2))
    outbox.send(bytes(3))
    assert.deepEqual(written, [])
    await turn()
    outbox.send(bytes(4))
    await turn()
    assert.deepEqual(written, [[1, 2, 3], [4]])
  })

  it('tells the others first of what is read', async () => {
    const written: string[] = []
    const asking = new WriteBatch(() => written.push('the answer'))
    const other = new WriteBatch(() => written.push('the news'))
    asking.reading(() => {
      asking.send(bytes(1))
      other.send(bytes(2))
    })
    await turn()
    assert.deepEqual(written, ['the news', 'the answer'])
  })

  it('does not gather much, and writes at once when it is told to', () => {
    const written: number[] = []
    const outbox = new WriteBatch((chunk) => written.push(chunk.length))
    outbox.send(new Uint8Array(65_000))
    assert.deepEqual(written, [])
    outbox.send(new Uint8Array(1_000))
    assert.deepEqual(written, [66_000])
    outbox.send(bytes(1))
    outbox.flush()
    outbox.flush()
    assert.deepEqual(written, [66_000, 1])
  })
})
