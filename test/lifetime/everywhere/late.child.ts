/**
 * Promises that no caller awaits in time. Prints, for each case, the rejections that the platform calls unhandled, and then
 * what the promise has settled with. late.test.ts says what that should be.
 */
import {
  type CancellationToken,
  isCancellation,
  openScope,
  type Scope,
  scope,
  SimpleToken,
  TimeoutToken,
} from 'calloff'

const say = (text: string): void => console.log(text)
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

process.on('unhandledRejection', (error) => say(`  unhandled: ${textOf(error)}`))
process.on('uncaughtException', (error) => say(`  uncaught: ${textOf(error)}`))

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    await new Promise<void>((resolve) => {
      setTimeout(resolve, 1)
    })
  }
}

type Begin = (token: CancellationToken) => Promise<unknown>

const forever = (): Promise<never> => new Promise(() => {})
const broken = (): Promise<never> => Promise.reject(new Error('broken'))
const silent: AsyncIterable<never> = { [Symbol.asyncIterator]: () => ({ next: forever }) }
const failing: AsyncIterable<never> = { [Symbol.asyncIterator]: () => ({ next: broken }) }
/** What a client throws that knows the platform's signals only, and drops the reason. */
const clientError = (): Error => Object.assign(new Error('aborted by the client'), { name: 'AbortError' })
const client = async (token: CancellationToken): Promise<never> => {
  await token.wait()
  throw clientError()
}

/** Each is called with a token that is cancelled afterwards. */
const cancelled: Readonly<Record<string, Begin>> = {
  sleep: (token) => token.sleep(600_000),
  'sleep for ever': (token) => token.sleep(Infinity),
  'race of a promise': (token) => token.race(forever()),
  'race of a function': (token) => token.race((own) => own.sleep(600_000)),
  'race of a client': (token) => token.race(client),
  'race with a limit': (token) => token.race(forever(), { timeout: 600_000 }),
  promise: (token) => token.promise(() => {}),
  'promise of a client': (token) => token.promise((_, reject) => void token.onCancel(() => reject(clientError()))),
  'retry in an attempt': (token) => token.retry((own) => own.sleep(600_000)),
  'retry of a client': (token) => token.retry(client),
  'retry between attempts': (token) => token.retry(broken, { delay: 60_000 }),
  'iterate, waiting': (token) => token.iterate(silent)[Symbol.asyncIterator]().next(),
  'scope whose body sleeps': (token) => scope(token, (s) => s.token.sleep(600_000)),
  'scope whose task sleeps': (token) => scope(token, (s) => void s.run((own) => own.sleep(600_000))),
  'run of a scope': (token) => inScope(token, (s) => s.run((own) => own.sleep(600_000))),
  'map of a scope': (token) => inScope(token, (s) => s.map([1], (_, own) => own.sleep(600_000))),
  'any of a scope': (token) => inScope(token, (s) => s.any([(own) => own.sleep(600_000)])),
  'race of a scope': (token) => inScope(token, (s) => s.race([(own) => own.sleep(600_000)])),
  'close of a scope': (token) => {
    const s = openScope(token)
    void s.run((own) => own.sleep(600_000))
    return s.close()
  },
}

/** The same with a token that has been cancelled before. */
const dead: Readonly<Record<string, Begin>> = {
  sleep: (token) => token.sleep(600_000),
  checkpoint: (token) => token.checkpoint(),
  race: (token) => token.race(forever()),
  promise: (token) => token.promise(() => {}),
  retry: (token) => token.retry(forever),
  iterate: (token) => token.iterate(silent)[Symbol.asyncIterator]().next(),
  scope: (token) => scope(token, forever),
}

/** A time limit of their own ends them. */
const late: Readonly<Record<string, Begin>> = {
  'wait with a limit': (token) => token.wait({ timeout: 1 }),
  'race with a limit': (token) => token.race(forever(), { timeout: 1 }),
  'race with a limit of 0': (token) => token.race(forever(), { timeout: 0 }),
}

/** They fail, and that is no cancellation. */
const failed: Readonly<Record<string, Begin>> = {
  'sleep of no number': (token) => token.sleep(-1),
  'wait of no number': (token) => token.wait({ timeout: -1 }),
  race: (token) => token.race(broken()),
  'race of nothing': (token) => token.race([]),
  'race of a function': (token) => token.race(broken),
  promise: (token) => token.promise((_, reject) => reject(new Error('broken'))),
  untilCancelled: (token) => token.untilCancelled(broken),
  'race of another token’s task': (token) => token.race(() => new SimpleToken().cancel().sleep(1)),
  retry: (token) => token.retry(broken, { delay: 0 }),
  'retry without time': () => new TimeoutToken(10_000).retry(broken, { delay: 30_000, jitter: false }),
  iterate: (token) => token.iterate(failing)[Symbol.asyncIterator]().next(),
  scope: (token) => scope(token, broken),
  'close of a scope': (token) => {
    const s = openScope(token)
    void s.run(broken)
    return s.close()
  },
}

/** A promise of a scope, whose own is of no matter here. */
function inScope(token: CancellationToken, begin: (s: Scope) => Promise<unknown>) {
  let promise: Promise<unknown> | undefined
  scope(token, (s) => void (promise = begin(s))).catch(() => {})
  return promise as unknown as Promise<unknown>
}

async function play(name: string, token: CancellationToken, begin: Begin, act: () => unknown): Promise<void> {
  say(name)
  const promise = begin(token)
  await turns()
  act()
  await turns()
  await promise.then(
    () => say('  resolved'),
    (error: unknown) => say(`  ${isCancellation(error) ? 'cancelled' : 'failed'}`),
  )
  await turns()
}

const nothing = (): void => {}
for (const [name, begin] of Object.entries(cancelled)) {
  const token = new SimpleToken()
  await play(`cancelled: ${name}`, token, begin, () => token.cancel())
}
for (const [name, begin] of Object.entries(dead))
  await play(`dead: ${name}`, new SimpleToken().cancel(), begin, nothing)
for (const [name, begin] of Object.entries(late)) await play(`late: ${name}`, new SimpleToken(), begin, nothing)
for (const [name, begin] of Object.entries(failed)) await play(`failed: ${name}`, new SimpleToken(), begin, nothing)
process.exit(0)
