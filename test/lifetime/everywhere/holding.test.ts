/** 26: what waits holds the process only while something can still end it. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sample } from '../../effort.js'
import { run } from './run.js'

const all = [
  'NEVER',
  'simple',
  'counter',
  'indirect counter',
  'signal',
  'unlimited',
  'allOf nothing',
  'grace for ever',
  'allOf with one that stays',
  'deadline',
  'deadline above',
  'condition',
  'shared',
  'someOf with one deadline',
  'except its deadline',
  'someOf deadlines',
  'except a signal',
  'except a condition',
  'allOf deadlines',
  'deadline that was off',
  'deadline that is taken off',
  'deadline that is set again',
]
/** What may end although this program does nothing more. */
const ending = [
  'deadline',
  'deadline above',
  'condition',
  'shared',
  'someOf deadlines',
  'except a signal',
  'except a condition',
  'allOf deadlines',
  'deadline that is set again',
]
const allButNever = all.slice(1)

/** What is started, and the tokens on which it holds the process. */
const table: Readonly<Record<string, readonly string[]>> = {
  wait: allButNever,
  'wait without hold': [],
  'wait without hold, limited': [],
  'wait, limited': all,
  'wait, infinite limit': allButNever,
  'sleep for ever': allButNever,
  'tick for ever': allButNever,
  race: ending,
  'race, limited': all,
  'race, infinite limit': ending,
  settled: allButNever,
  'settled, limited': all,
  'settled, infinite limit': allButNever,
  promise: ending,
  untilCancelled: ending,
  'untilCancelled, with grace': ending,
  retry: ending,
  iterate: ending,
  'scope with endless patience': [],
  'hedge for ever': [],
}
/** One of each sort is enough where the sorts have been told apart by another row. */
const some = ['NEVER', 'simple', 'counter', 'deadline', 'deadline that is taken off', 'deadline that is set again']
const whole = new Set(['wait', 'race'])

describe('26. the process is held', { concurrency: 2 }, () => {
  for (const [start, holding] of Object.entries(table)) {
    test(`by ${start}: ${holding.length === 0 ? 'on no token' : 'only while something can end it'}`, async () => {
      for (const token of sample(whole.has(start) ? all : some)) {
        const { lines, errors, code } = await run('holding.child.js', [start, token])
        const expected = holding.includes(token) ? ['held', 'ended'] : ['ended']
        assert.deepEqual([lines, errors, code], [expected, '', 0], `on ${token}`)
      }
    })
  }
})
