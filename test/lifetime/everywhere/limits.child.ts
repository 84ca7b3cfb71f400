/**
 * Promises under a time limit, with nothing else that keeps the process alive. Prints each with what it settles with;
 * limits.test.ts says what that should be.
 */
import { EventEmitter } from 'node:events'
import { type CancellationToken, scope, TimeoutToken } from 'calloff'
import { on } from 'calloff/node'

const silence = (): Promise<never> => new Promise(() => {})
const fail = (): never => {
  throw new Error('failed')
}
const silent: AsyncIterable<number> = { [Symbol.asyncIterator]: () => ({ next: silence }) }
/** Gives one item, and never answers `return()`. */
const deaf: AsyncIterable<number> = {
  [Symbol.asyncIterator]: () => ({ next: async () => ({ done: false, value: 1 }), return: silence }),
}
const next = (source: AsyncIterable<unknown>) => source[Symbol.asyncIterator]().next()

const cases: Readonly<Record<string, (token: CancellationToken) => Promise<unknown>>> = {
  'an attempt of retry': (token) => token.retry(silence),
  'the condition of a retry': (token) => token.retry(fail, { when: silence }),
  'next() of iterate': (token) => next(token.iterate(silent)),
  'next() of iterate over a promise': (token) => next(token.iterate([silence()])),
  'leaving iterate': async (token) => {
    for await (const _ of token.iterate(deaf)) break
    throw token.error
  },
  'map of a scope': (token) => scope(token, (s) => s.map(silent, (item) => item)),
  'next() of on': (token) => on(new EventEmitter(), 'data', token).next(),
}

for (const [name, begin] of Object.entries(cases)) {
  const token = new TimeoutToken(30)
  try {
    await begin(token)
    console.log(name, 'resolved')
  } catch (error) {
    console.log(`${name}: ${error !== undefined && error === token.error ? 'its time is up' : String(error)}`)
  }
}
console.log('all')
