/** A token that is sent as it is never arrives as a dead copy. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MessageChannel, Worker } from 'node:worker_threads'
import {
  allOf,
  CANCELLED,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  from,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'

const kinds: Readonly<Record<string, () => CancellationToken>> = {
  SimpleToken: () => new SimpleToken(),
  'derived token': () => new SimpleToken(new SimpleToken()),
  TimeoutToken: () => new TimeoutToken(1_000),
  ConditionToken: () => new ConditionToken(() => false),
  CounterToken: () => new CounterToken(1),
  'token of a foreign signal': () => from(new AbortController().signal),
  allOf: () => allOf(new SimpleToken()),
  grace: () => new SimpleToken().grace(1),
  NEVER: () => NEVER,
  CANCELLED: () => CANCELLED,
  'token with a signal and a listener': () => {
    const token = new SimpleToken()
    token.onCancel(() => token.signal)
    return token.signal.aborted ? CANCELLED : token
  },
  'disposed token': () => {
    const token = new SimpleToken(new SimpleToken())
    token[Symbol.dispose]()
    return token
  },
}

const helpful = (error: unknown): boolean => {
  assert.equal((error as Error).name, 'DataCloneError')
  assert.match(String(error), /calloff token cannot be sent as it is/)
  return true
}

const wraps: Readonly<Record<string, (token: CancellationToken) => unknown>> = {
  'as it is': (token) => token,
  'in an object': (token) => ({ id: 1, options: { tokens: [token] } }),
  'in a map': (token) => new Map([['token', token]]),
}

for (const [kind, make] of Object.entries(kinds)) {
  for (const [where, wrap] of Object.entries(wraps)) {
    test(`a ${kind} ${where} cannot be cloned or posted, alive or cancelled`, () => {
      const { port1, port2 } = new MessageChannel()
      const token = make()
      for (let turn = 0; turn < 2; turn++) {
        assert.throws(() => structuredClone(wrap(token)), helpful)
        assert.throws(() => port1.postMessage(wrap(token)), helpful)
        if (token !== NEVER) token.cancel('enough')
      }
      port1.close()
      port2.close()
    })
  }
}

test('a token cannot be posted to a worker, nor given to it at its start', async () => {
  const worker = new Worker('', { eval: true })
  try {
    const message = { token: CANCELLED }
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    assert.throws(() => worker.postMessage(message), helpful)
    assert.throws(() => new Worker('', { eval: true, workerData: [new SimpleToken()] }), helpful)
  } finally {
    await worker.terminate()
  }
})

test('an error that is cloned arrives with its text and its cause, and without the token', () => {
  const { error } = new SimpleToken({ name: 'upload' }).cancel('enough')
  const copy = structuredClone(error) as Error
  assert.equal(copy.message, error?.message)
  assert.equal('token' in copy, false)
})
