/** A factory for each kind of token, so that the common tests run on all of them. A new kind is added here first. */
import assert from 'node:assert/strict'
import {
  allOf,
  anyOf,
  CancellationError,
  type CancellationKind,
  type CancellationToken,
  ConditionCancellationError,
  ConditionToken,
  CounterCancellationError,
  CounterToken,
  from,
  SimpleToken,
  someOf,
  TimeoutCancellationError,
  TimeoutToken,
} from 'calloff'
import { share, SharedToken } from 'calloff/threads'
import { EditorSource, OtherSignal } from './helpers.js'

export interface Kind {
  readonly name: string
  /** A live one, that nothing but `cancel()`, or one of the nested tokens, ends during a test. */
  make(...nested: CancellationToken[]): CancellationToken
}

const HOUR = 3_600_000

/** Kinds that take nested tokens. */
export const nestingKinds: readonly Kind[] = [
  { name: 'SimpleToken', make: (...nested) => new SimpleToken(...nested) },
  { name: 'SimpleToken with options', make: (...nested) => new SimpleToken({ name: 'named' }, ...nested) },
  { name: 'TimeoutToken', make: (...nested) => new TimeoutToken(HOUR, ...nested) },
  { name: 'TimeoutToken(Infinity)', make: (...nested) => new TimeoutToken(Infinity, ...nested) },
  { name: 'TimeoutToken.until', make: (...nested) => TimeoutToken.until(Date.now() + HOUR, ...nested) },
  { name: 'ConditionToken', make: (...nested) => new ConditionToken(() => false, ...nested) },
  {
    name: 'ConditionToken without caching',
    make: (...nested) => new ConditionToken(() => false, { caching: false }, ...nested),
  },
  { name: 'CounterToken', make: (...nested) => new CounterToken(1_000_000, ...nested) },
  {
    name: 'CounterToken, not only direct',
    make: (...nested) => new CounterToken(1_000_000, { direct: false }, ...nested),
  },
  { name: 'a sum', make: (...nested) => new SimpleToken().plus(...nested) },
  { name: 'anyOf', make: (...nested) => anyOf(new SimpleToken(), ...nested) },
  { name: 'a sum of sums', make: (...nested) => new SimpleToken().plus(new SimpleToken().plus(...nested)) },
  { name: 'SharedToken', make: (...nested) => new SharedToken(...nested) },
  { name: 'SharedToken that others know', make: (...nested) => known(new SharedToken(...nested)) },
  { name: 'SharedToken in memory of its own', make: (...nested) => SharedToken.at(memory(), 64, ...nested) },
  { name: 'someOf in a sum', make: (...nested) => anyOf(someOf(2, new SimpleToken(), new SimpleToken()), ...nested) },
  { name: 'except in a sum', make: (...nested) => anyOf(new SimpleToken().except('race'), ...nested) },
  { name: 'except of a sum', make: (...nested) => anyOf(new SimpleToken(), ...nested).except('race') },
  { name: 'allOf in a sum', make: (...nested) => anyOf(allOf(new SimpleToken(), new SimpleToken()), ...nested) },
]

function known(token: SharedToken): SharedToken {
  assert.equal(token.handle.calloff, 'SharedToken')
  return token
}

const memory = () => new SharedArrayBuffer(1024)

/** Every kind that can be cancelled. */
export const kinds: readonly Kind[] = [
  ...nestingKinds,
  { name: 'an opened SharedToken', make: () => SharedToken.from(structuredClone(new SharedToken().handle)) },
  { name: 'share of a sum', make: () => share(new SimpleToken(new TimeoutToken(HOUR), new SimpleToken())) },
  {
    name: 'an opened share of a deadline',
    make: () => SharedToken.from(structuredClone(share(new TimeoutToken(HOUR)).handle)),
  },
  { name: 'allOf', make: () => allOf(new SimpleToken(), new TimeoutToken(HOUR)) },
  { name: 'someOf', make: () => someOf(2, new SimpleToken(), new TimeoutToken(HOUR), new SimpleToken()) },
  { name: 'except', make: () => new TimeoutToken(HOUR, new SimpleToken()).except('timeout', 'disconnect') },
  { name: 'allOf of nothing', make: () => allOf() },
  { name: 'grace', make: () => new SimpleToken().grace(1_000) },
  { name: 'grace of a sum', make: () => new SimpleToken(new TimeoutToken(HOUR)).grace(0) },
  { name: 'from(signal)', make: () => from(new AbortController().signal) },
  { name: 'from(controller)', make: () => from(new AbortController()) },
  { name: 'from(a signal of a polyfill)', make: () => from(new OtherSignal()) },
  { name: 'from(VS Code token)', make: () => from(new EditorSource()) },
  { name: 'a token over a signal', make: () => new SimpleToken(new AbortController().signal) },
]

export interface EndingKind {
  readonly name: string
  /** One that its own rule ends at the first poll. */
  make(...nested: CancellationToken[]): CancellationToken
  readonly kind: CancellationKind
  readonly error: typeof CancellationError
  /** Whether a look is enough to see that it is over. */
  readonly seenByLook: boolean
}

/** Kinds that end by themselves. */
export const endingKinds: readonly EndingKind[] = [
  {
    name: 'TimeoutToken(0)',
    make: (...nested) => new TimeoutToken(0, ...nested),
    kind: 'timeout',
    error: TimeoutCancellationError,
    seenByLook: true,
  },
  {
    name: 'TimeoutToken.until(the past)',
    make: (...nested) => TimeoutToken.until(0, ...nested),
    kind: 'timeout',
    error: TimeoutCancellationError,
    seenByLook: true,
  },
  {
    name: 'ConditionToken(() => true)',
    make: (...nested) => new ConditionToken(() => true, ...nested),
    kind: 'condition',
    error: ConditionCancellationError,
    seenByLook: false,
  },
  {
    name: 'CounterToken(0)',
    make: (...nested) => new CounterToken(0, ...nested),
    kind: 'counter',
    error: CounterCancellationError,
    seenByLook: true,
  },
  {
    name: 'CounterToken(0, { direct: false })',
    make: (...nested) => new CounterToken(0, { direct: false }, ...nested),
    kind: 'counter',
    error: CounterCancellationError,
    seenByLook: true,
  },
]

/** Every kind, made so that it is over because of something else than its own `cancel()`. */
export const deadKinds: readonly {
  readonly name: string
  make(): CancellationToken
  readonly error: typeof CancellationError
}[] = [
  ...endingKinds,
  { name: 'a cancelled token', make: () => new SimpleToken().cancel('by hand'), error: CancellationError },
  { name: 'a token born cancelled', make: () => new SimpleToken({ cancelled: true }), error: CancellationError },
  { name: 'a disposed token', make: disposed, error: CancellationError },
  { name: 'a token of an aborted signal', make: () => from(AbortSignal.abort('gone')), error: CancellationError },
]

function disposed(): CancellationToken {
  const token = new SimpleToken()
  token[Symbol.dispose]()
  return token
}
