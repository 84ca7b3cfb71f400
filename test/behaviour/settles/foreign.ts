/** Foreign code as it may be: conditions, tasks and sources that misbehave, and what tells whether a promise of ours settles. */
// Thenables that misbehave are what this is about.
/* oxlint-disable unicorn/no-thenable */
import assert from 'node:assert/strict'
import { type CancellationToken, ConditionToken, SimpleToken } from 'calloff'
import { OtherSignal } from '../helpers.js'

/** How long a promise gets that should have settled. Only a test that fails waits for it. */
const PATIENCE = 10_000

export type Outcome = { readonly value: unknown } | { readonly error: unknown }

/** What the promise comes to; fails if it does not settle. */
export async function outcomeOf(promise: PromiseLike<unknown>): Promise<Outcome> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const hangs = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: 'it does not settle' })), PATIENCE)
  })
  const settled = Promise.resolve(promise).then(
    (value): Outcome => ({ value }),
    (error: unknown): Outcome => ({ error }),
  )
  try {
    return await Promise.race([settled, hangs])
  } finally {
    clearTimeout(timer)
  }
}

/** What it rejects with; fails if it resolves, and if it does not settle. */
export async function errorFrom(promise: PromiseLike<unknown>): Promise<unknown> {
  const outcome = await outcomeOf(promise)
  return 'error' in outcome ? outcome.error : assert.fail(`it resolved with ${String(outcome.value)}`)
}

/** A token below a signal that knows its listeners. */
export function watched(): { readonly token: SimpleToken; readonly signal: OtherSignal } {
  const signal = new OtherSignal()
  return { token: new SimpleToken(signal), signal }
}

export const broken = new Error('the condition is broken')

/** A token whose condition throws at its `nth` call, and at each later one if it is broken `forGood`; below a signal. */
export function brittle(
  nth: number,
  forGood: boolean,
): { readonly token: CancellationToken; readonly signal: OtherSignal; readonly calls: () => number } {
  const signal = new OtherSignal()
  let calls = 0
  const condition = () => {
    calls++
    if (calls === nth || (forGood && calls > nth)) throw broken
    return false
  }
  // Nothing polls it but the calls that are tested: what a poller of its own found would be an uncaught error.
  const options = { suppressExceptions: false, pollEvery: Infinity }
  return { token: new ConditionToken(condition, options, signal), signal, calls: () => calls }
}

export const failure = new Error('the task has failed')

/** What a task gives, or throws. `release` ends one that would never end. */
export interface Misbehaving {
  readonly task: () => unknown
  readonly comesTo: { readonly value: unknown } | { readonly error: unknown } | 'nothing'
  readonly release?: () => void
}

const thenable = (then: (yes: (value: unknown) => void, no: (error: unknown) => void) => void) => () => ({ then })
const good = { value: 'good' }
const bad = { error: failure }

/** Tasks that give what cannot be trusted, each made anew. */
export const tasks: Readonly<Record<string, () => Misbehaving>> = {
  'throws at once': () => ({
    task: () => {
      throw failure
    },
    comesTo: bad,
  }),
  'gives a thenable whose then is a getter that throws': () => ({
    task: () => ({
      get then() {
        throw failure
      },
    }),
    comesTo: bad,
  }),
  'gives a thenable whose then throws': () => ({
    task: thenable(() => {
      throw failure
    }),
    comesTo: bad,
  }),
  'gives a thenable that answers at once': () => ({ task: thenable((yes) => yes('good')), comesTo: good }),
  'gives a thenable that fails at once': () => ({ task: thenable((_, no) => no(failure)), comesTo: bad }),
  'gives a thenable that answers, and throws': () => ({
    task: thenable((yes) => {
      yes('good')
      throw failure
    }),
    comesTo: good,
  }),
  'gives a thenable that answers twice': () => ({
    task: thenable((yes) => {
      yes('good')
      yes('again')
    }),
    comesTo: good,
  }),
  'gives a thenable that answers both ways': () => ({
    task: thenable((yes, no) => {
      no(failure)
      yes('good')
    }),
    comesTo: bad,
  }),
  'gives a thenable that answers with another one': () => ({
    task: thenable((yes) => yes({ then: (inner: (value: unknown) => void) => inner('good') })),
    comesTo: good,
  }),
  'gives a promise with a then of its own that throws': () => ({
    task: () =>
      Object.defineProperty(Promise.resolve('good'), 'then', {
        value: () => {
          throw failure
        },
      }),
    comesTo: good,
  }),
  'gives a promise with a then of its own that is deaf': () => ({
    task: () => Object.defineProperty(Promise.resolve('good'), 'then', { value: () => {} }),
    comesTo: good,
  }),
  'gives a promise whose constructor is a getter that throws': () => ({
    task: () =>
      Object.defineProperty(Promise.resolve('good'), 'constructor', {
        get() {
          throw failure
        },
      }),
    comesTo: bad,
  }),
  'never ends': () => deaf((silent) => silent),
  'gives a thenable that never answers': () => deaf((silent) => ({ then: (yes: () => void) => void silent.then(yes) })),
  'gives a thenable that answers with a promise that never settles': () =>
    deaf((silent) => ({ then: (yes: (value: unknown) => void) => yes(silent) })),
  'gives a thenable that answers twice with a promise that never settles': () =>
    deaf((silent) => ({
      then: (yes: (value: unknown) => void) => {
        yes(silent)
        yes('good')
      },
    })),
}

function deaf(give: (silent: Promise<unknown>) => unknown): Misbehaving {
  let release = () => {}
  const silent = new Promise<void>((resolve) => {
    release = resolve
  })
  return { task: () => give(silent), comesTo: 'nothing', release }
}
