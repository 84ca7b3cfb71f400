/**
 * Starts what the first argument names, and says what becomes of the process: "held" when it is alive after a while, "free" when
 * nothing has kept it so long. holding.test.ts says which it should be.
 */
import { setTimeout } from 'node:timers'
import {
  allOf,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  from,
  NEVER,
  scope,
  SimpleToken,
  someOf,
  TimeoutToken,
} from 'calloff'
import { SharedToken } from 'calloff/threads'

const HOUR = 3_600_000
const nothing = (): void => {}
const forever = (): Promise<never> => new Promise(nothing)

const limit = new TimeoutToken(HOUR)

const tokens: Readonly<Record<string, () => CancellationToken>> = {
  NEVER: () => NEVER,
  simple: () => new SimpleToken(),
  counter: () => new CounterToken(3),
  'indirect counter': () => new CounterToken(1_000_000, { direct: false }),
  signal: () => from(new AbortController().signal),
  unlimited: () => new TimeoutToken(Infinity),
  'allOf nothing': () => allOf(),
  'grace for ever': () => new SimpleToken().grace(Infinity),
  'allOf with one that stays': () => allOf(new SimpleToken(), new TimeoutToken(HOUR)),
  deadline: () => new TimeoutToken(HOUR),
  'deadline above': () => new SimpleToken(new SimpleToken(), new TimeoutToken(HOUR)),
  condition: () => new ConditionToken(() => false),
  shared: () => new SharedToken(),
  'someOf with one deadline': () => someOf(2, new SimpleToken(), new TimeoutToken(HOUR)),
  'except its deadline': () => new TimeoutToken(HOUR).except('timeout'),
  'someOf deadlines': () => someOf(2, new TimeoutToken(HOUR), new SimpleToken(), new TimeoutToken(HOUR)),
  'except a signal': () => new TimeoutToken(HOUR, new AbortController().signal).except('signal'),
  'except a condition': () => new SimpleToken(new SharedToken()).except('condition'),
  'deadline that was off': () => (limit.disarm(), limit),
  'deadline that is taken off': () => (setImmediate(() => limit.disarm()), new SimpleToken(limit)),
  'deadline that is set again': () => {
    limit.disarm()
    setImmediate(() => limit.restart())
    return allOf(new SimpleToken().cancel(), limit)
  },
  'allOf deadlines': () => allOf(new TimeoutToken(HOUR), new TimeoutToken(HOUR)),
}

const starts: Readonly<Record<string, (token: CancellationToken) => Promise<unknown>>> = {
  wait: (token) => token.wait(),
  'wait without hold': (token) => token.wait({ hold: false }),
  'wait without hold, limited': (token) => token.wait({ hold: false, timeout: HOUR }),
  'wait, limited': (token) => token.wait({ timeout: HOUR }),
  'wait, infinite limit': (token) => token.wait({ timeout: Infinity }),
  'sleep for ever': (token) => token.sleep(Infinity),
  'tick for ever': (token) => token.every(Infinity)[Symbol.asyncIterator]().next(),
  race: (token) => token.race(forever),
  'race, limited': (token) => token.race(forever, { timeout: HOUR }),
  'race, infinite limit': (token) => token.race(forever, { timeout: Infinity }),
  settled: (token) => token.settled(),
  'settled, limited': (token) => token.settled({ timeout: HOUR }),
  'settled, infinite limit': (token) => token.settled({ timeout: Infinity }),
  promise: (token) => token.promise(nothing),
  untilCancelled: (token) => token.untilCancelled(forever),
  'untilCancelled, with grace': (token) => token.untilCancelled(forever, { grace: 0 }),
  retry: (token) => token.retry(forever),
  iterate: (token) => {
    const source: AsyncIterable<never> = { [Symbol.asyncIterator]: () => ({ next: forever }) }
    const items = token.iterate(source)
    const iterator = items[Symbol.asyncIterator]()
    return iterator.next()
  },
  'scope with endless patience': (token) =>
    scope(token, async (s) => (s.cancel(), await forever()), { stuckAfter: Infinity }),
  'hedge for ever': (token) => scope(token, (s) => s.any([forever, forever], { hedge: Infinity })),
}

const [start = '', token = ''] = process.argv.slice(2)
starts[start]?.((tokens[token] as () => CancellationToken)()).catch(nothing)
const timer = setTimeout(() => {
  console.log('held')
  process.exit(0)
}, 300)
timer.unref()
process.on('exit', () => console.log('ended'))
