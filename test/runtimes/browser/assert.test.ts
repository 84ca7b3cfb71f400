/** The verdicts of the browser's stand-in for `node:assert/strict` are Node's. */
import theirs from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { runs } from '../../property/runs.js'
import ours from './assert.js'

type Assert = Pick<typeof theirs, keyof typeof ours>
const stands = ours as Assert

const holds = (run: () => unknown): boolean => {
  try {
    run()
    return true
  } catch {
    return false
  }
}

/** What both say of the same question. */
function agreed(ask: (assert: Assert) => unknown): boolean {
  const verdict = holds(() => ask(stands))
  theirs.equal(
    verdict,
    holds(() => ask(theirs)),
  )
  return verdict
}

const error = new Error('one')
const nameless: unknown = Object.create(null)
const values = [
  undefined,
  null,
  true,
  0,
  -0,
  NaN,
  1,
  1n,
  '',
  'a',
  Symbol.iterator,
  [],
  [undefined],
  Array.from({ length: 1 }),
  // oxlint-disable-next-line no-sparse-arrays
  [,],
  Object.assign([], { more: 1 }),
  {},
  nameless,
  { a: undefined },
  new Date(0),
  new Date(1),
  new Date(NaN),
  { a: 1, b: [1, { c: 2 }] },
  { b: [1, { c: 2 }], a: 1 },
  { a: 1, b: [1, { c: 3 }] },
  { [Symbol.iterator]: 1 },
  Object.defineProperty({}, 'hidden', { value: 1 }),
  error,
  describe,
] as const

describe("the browser's assert", () => {
  it('finds equal, alike and true what Node finds so', () => {
    for (const one of values) {
      agreed((assert) => assert.ok(one))
      for (const other of values) {
        agreed((assert) => assert.equal(one, other))
        agreed((assert) => assert.notEqual(one, other))
        agreed((assert) => assert.deepEqual(one, other))
        agreed((assert) => assert.deepEqual([{ in: one }], [{ in: other }]))
      }
    }
  })

  it('finds alike what Node finds so, whatever is nested in what', () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.constantFrom(undefined, null, 0, -0, NaN, 1, 'a', ''),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { maxKeys: 3 }),
      ),
    }))
    let alike = 0
    fc.assert(
      fc.property(value, value, (one, other) => {
        for (const copy of [other, structuredClone(one)]) if (agreed((assert) => assert.deepEqual(one, copy))) alike++
      }),
      runs(300),
    )
    theirs.ok(alike > 0)
  })

  it('refuses to compare what it cannot compare as Node does', () => {
    for (const [one, other] of [
      [new Error('one'), new Error('one')],
      [new Map(), new Map()],
      [Object.create({}), Object.create({})],
    ])
      theirs.throws(() => ours.deepEqual(one, other), /only arrays, dates and plain objects/)
  })

  it('matches and throws as Node does', () => {
    const throwing = () => {
      throw new RangeError('too much')
    }
    for (const text of ['', 'too much', 1 as unknown as string]) {
      agreed((assert) => assert.match(text, /much/))
      agreed((assert) => assert.doesNotMatch(text, /much/))
    }
    for (const run of [throwing, () => 1]) {
      agreed((assert) => assert.throws(run))
      for (const expected of [RangeError, Error, TypeError, /much/, /little/])
        agreed((assert) => assert.throws(run, expected))
      for (const expected of [{ name: 'RangeError' }, { name: 'Error' }, { message: /much/ }, { message: 'too' }])
        agreed((assert) => assert.throws(run, expected))
    }
    agreed((assert) => assert.fail('it failed'))
  })

  it('throws the error that it is given for a message', () => {
    theirs.throws(() => ours.ok(false, error), error)
    theirs.throws(() => ours.fail(error), error)
    theirs.throws(() => ours.equal(1, 2, 'one is not two'), /one is not two \(1 should be 2\)/)
  })
})
