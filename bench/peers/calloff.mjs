// calloff itself, as built and installed: what users get.
import { allOf, ConditionToken, CounterToken, from, scope, SimpleToken, TimeoutToken } from 'calloff'
import { SharedToken, startTicker } from 'calloff/threads'

/** @type {import('./index.mjs').Peer} */
const calloff = {
  name: 'calloff',
  create: () => new SimpleToken(),
  token: (token) => token,
  cancel: (token) => token.cancel(),
  polls(tokens, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (tokens[i & 7].cancelled) over++
    return over
  },
  pollsOne(token, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (token.cancelled) over++
    return over
  },
  derive1: (parent) => new SimpleToken(parent),
  derive2: (a, b) => new SimpleToken(a, b),
  child: (parent) => new SimpleToken(parent),
  release: (token) => token[Symbol.dispose](),
  timeout: (ms) => new TimeoutToken(ms),
  timeoutToken: (token) => token,
  listen: (token, listener) => token.onCancel(listener),
  unlisten: (_token, registration) => registration.stop(),
  race: (token, work) => token.race(work),
  async calledOff() {
    const token = new SimpleToken()
    const slept = token.sleep(60_000)
    token.cancel()
    try {
      await slept
      return false
    } catch {
      return true
    }
  },
  together: (values) => together(values),
  oneFails: (others) => oneFails(others),
  signalParent() {
    const token = new SimpleToken()
    void token.signal
    return token
  },
  signalBearer: (parent) => (parent ? new SimpleToken(parent) : new SimpleToken()),
  signalOfRoot: (token) => token.signal,
  signalOfDerived: (token) => token.signal,
  reaches: 'calloff',
  shared: () => new SharedToken(),
  handle: (token) => token.handle,
  opened: (handle) => SharedToken.from(handle),
  sharedCancel: (token) => token.cancel(),
  spin(token) {
    while (!token.cancelled);
  },
  sleep: (token) => token.waitSync(),
  hear: (token) => token.wait(),
  deadline: () => new TimeoutToken(3_600_000),
  quickstart(rounds) {
    const luck = -1
    const token = new ConditionToken(() => Math.random() < luck).plus(
      new CounterToken(rounds, { direct: false }),
      new TimeoutToken(3_600_000),
    )
    let turns = 0
    while (token.keepOn()) turns++
    return turns
  },
  kinds: {
    'sum of two': () => new SimpleToken(above, beside),
    'timeout below a token': () => new TimeoutToken(3_600_000, above),
    condition: () => new ConditionToken(never),
    counter: () => new CounterToken(1_000),
    'all of two': () => allOf(above, beside),
    grace: () => above.grace(1_000),
    'bridge to a signal': () => from(new AbortController().signal),
    'token with its signal': () => {
      const token = new SimpleToken()
      void token.signal
      return token
    },
    'derived with its signal': () => {
      const token = new SimpleToken(above)
      void token.signal
      return token
    },
  },
}

async function together(values, options) {
  const works = await scope(
    (s) =>
      Promise.all(
        values.map((value) =>
          s.run(async (token) => {
            await Promise.resolve()
            token.check()
            return value
          }),
        ),
      ),
    options,
  )
  return works.reduce((sum, value) => sum + value, 0)
}

async function oneFails(others, options) {
  let stopped = 0
  const endless = (token) =>
    new Promise((_, reject) => {
      token.onCancel((error) => {
        stopped++
        reject(error)
      })
    })
  const whole = scope((s) => {
    for (let i = 0; i < others; i++) void s.run(endless)
    void s.run(() => Promise.reject(new Error('work')))
  }, options)
  await whole.catch(() => {})
  return stopped
}

const above = new SimpleToken()
const beside = new SimpleToken()
const never = () => false

/** The other way to poll. @type {import('./index.mjs').Peer} */
const keepOn = {
  ...calloff,
  name: 'calloff keepOn()',
  only: ['check', 'check-one', 'check-deep-1000', 'timeout-check', 'threads-poll', 'threads-poll-one'],
  polls(tokens, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (!tokens[i & 7].keepOn()) over++
    return over
  },
  pollsOne(token, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (!token.keepOn()) over++
    return over
  },
}

/** Work that is started with a token of its own, and so can be called off. @type {import('./index.mjs').Peer} */
const raceOfFunctions = {
  ...calloff,
  name: 'calloff race(function)',
  only: ['race'],
  race: (token, work) => token.race(() => work),
}

/** Deadlines polled by what another thread counts. @type {import('./index.mjs').Peer} */
const withTicker = {
  ...calloff,
  name: 'calloff with a ticker',
  only: ['threads-deadline'],
  prepare: () => startTicker().ready,
}

/** Without where each work was started. @type {import('./index.mjs').Peer} */
const untraced = {
  name: 'calloff trace: false',
  only: ['scope-together', 'scope-failure'],
  together: (values) => together(values, { trace: false }),
  oneFails: (others) => oneFails(others, { trace: false }),
}

export const peers = [calloff, keepOn, raceOfFunctions, withTicker, untraced]
