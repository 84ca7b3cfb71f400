/** What a test has to see from outside: started as a process of its own, with the name of one of these. */
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import {
  allOf,
  type CancellationError,
  type CancellationToken,
  CANCELLED,
  ConditionToken,
  CounterToken,
  from,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'

const say = (text: unknown): void => void process.stdout.write(`${String(text)}\n`)
const nothing = (): void => {}
const sayKind = (error: unknown): void => say((error as CancellationError).kind)

function breakInTheMiddle(): CancellationToken {
  const token = new SimpleToken()
  const child = new SimpleToken(token)
  token.onCancel(() => say('first'))
  token.onCancel(() => {
    throw new Error('the listener broke')
  })
  token.onCancel(() => say('third'))
  child.onCancel(() => {
    throw new Error('the listener below broke')
  })
  child.onCancel(() => say('below'))
  say(`cancelled ${String(token.cancel().cancelled)}`)
  return child
}

/** A chain of a million, deep enough for any recursion to fail. */
function deep(levels: number, next: (token: CancellationToken, level: number) => CancellationToken) {
  const root = new SimpleToken()
  let bottom: CancellationToken = root
  for (let i = 0; i < levels; i++) bottom = next(bottom, i)
  return { root, bottom }
}

function exercise({ root, bottom }: { root: CancellationToken; bottom: CancellationToken }): void {
  say(`polls ${String(bottom.cancelled)}`)
  say(`left ${bottom.remaining}`)
  let calls = 0
  const registration = bottom.onCancel(() => calls++)
  bottom.onCancel(() => calls++)
  say(`stopped ${String(registration.stop())}`)
  say(`text ${String(String(bottom).length > 1_000_000)}`)
  say(`drawn ${String(inspect(bottom).split('\n').length <= 100)}`)
  root.cancel('enough')
  say(`called ${calls}`)
  say(`polls ${String(bottom.cancelled)} ${String(bottom.reason)} ${String(bottom.cancelledBy === root)}`)
  say(`drawn ${String(inspect(bottom).split('\n').length <= 100)}`)
}

const programs: Readonly<Record<string, () => unknown>> = {
  'a listener throws': () => void breakInTheMiddle(),

  'a listener throws, and somebody handles it': async () => {
    process.on('uncaughtException', (error) => say(`handled: ${error.message}`))
    const token = breakInTheMiddle()
    await delay(10)
    token.onCancel(() => {
      throw new Error('the late one broke')
    })
    await delay(10)
    say('went on')
  },

  'a listener throws under a timer': async () => {
    process.on('uncaughtException', (error) => say(`handled: ${error.message}`))
    const token = new TimeoutToken(10)
    token.onCancel(() => {
      throw new Error('the listener broke')
    })
    token.onCancel(() => say('second'))
    await delay(100)
    say('went on')
  },

  'a wait for ever': () => void new SimpleToken().wait().then(() => say('never')),
  'a sleep for ever': () => void new SimpleToken().sleep(Infinity).then(() => say('never')),

  'a wait for a deadline': () => void new TimeoutToken(200).wait().then(({ kind }) => say(kind)),
  'a wait for a condition': () => {
    const end = performance.now() + 200
    void new ConditionToken(() => performance.now() > end).wait().then(({ kind }) => say(kind))
  },
  'a wait with a timeout': () => void new SimpleToken().wait({ timeout: 200 }).catch(sayKind),
  'a sleep': () => void new SimpleToken().sleep(200).then(() => say('slept')),
  'a race with a timeout': () => void new SimpleToken().race(new Promise(nothing), { timeout: 200 }).catch(sayKind),
  'a tick': async () => {
    for await (const tick of new SimpleToken().every(200)) {
      say(tick)
      break
    }
  },

  'a wait that is over': () => {
    const token = new SimpleToken()
    void token.wait().then(() => say('over'))
    void token.sleep(600_000).catch(() => say('awake'))
    void token.race((own) => own.wait(), { timeout: 600_000 }).catch(() => say('lost'))
    token.cancel()
  },

  listeners: () => {
    const root = new SimpleToken()
    const tokens = [
      root,
      new SimpleToken(root),
      new TimeoutToken(600_000, root),
      new ConditionToken(() => false),
      new CounterToken(3, { direct: false }),
      allOf(root, new TimeoutToken(600_000)),
      root.grace(600_000),
      from(new AbortController().signal),
    ]
    for (const token of tokens) {
      token.onCancel(() => say('never'))
      token.signal.addEventListener('abort', () => say('never'))
    }
    new SimpleToken()
      .cancel()
      .grace(600_000)
      .onCancel(() => say('never'))
    say('listening')
  },

  'block until a deadline': () => {
    const cpu = process.cpuUsage()
    const start = performance.now()
    const error = new SimpleToken(new TimeoutToken(600)).waitSync()
    const { user, system } = process.cpuUsage(cpu)
    say(JSON.stringify({ kind: error.kind, took: performance.now() - start, cpu: (user + system) / 1_000 }))
  },
  'block until a condition': () => {
    const cpu = process.cpuUsage()
    const start = performance.now()
    let calls = 0
    const error = new SimpleToken(new ConditionToken(() => ++calls > 0 && performance.now() > start + 600)).waitSync({
      step: 20,
    })
    const { user, system } = process.cpuUsage(cpu)
    say(JSON.stringify({ kind: error.kind, took: performance.now() - start, cpu: (user + system) / 1_000, calls }))
  },
  'block until a timeout': () => {
    const cpu = process.cpuUsage()
    const start = performance.now()
    try {
      new SimpleToken().waitSync({ timeout: 600 })
    } catch (error) {
      const { user, system } = process.cpuUsage(cpu)
      const { kind } = error as CancellationError
      say(JSON.stringify({ kind, took: performance.now() - start, cpu: (user + system) / 1_000 }))
    }
  },
  'block for ever': () => {
    const condition = new SimpleToken()
    const tokens: Readonly<Record<string, CancellationToken>> = {
      simple: new SimpleToken(),
      never: NEVER,
      derived: new SimpleToken(new SimpleToken(), new TimeoutToken(Infinity)),
      all: allOf(new SimpleToken(), new TimeoutToken(1)),
      grace: condition.grace(1),
      foreign: from(new AbortController().signal),
      counter: new CounterToken(3),
    }
    for (const [name, token] of Object.entries(tokens)) {
      try {
        say(`${name}: ${token.waitSync().kind}`)
      } catch (error) {
        say(`${name}: ${(error as Error).name}`)
      }
    }
    say(`cancelled: ${CANCELLED.waitSync().kind}`)
    say(`polled: ${new CounterToken(3, { direct: false }).waitSync({ step: 1 }).kind}`)
  },

  'a condition throws': () => {
    const broken = (): boolean => {
      throw new Error('the condition broke')
    }
    new ConditionToken(broken, { suppressExceptions: false }).onCancel(() => say('never'))
    setTimeout(() => say('too late'), 5_000)
  },
  'a condition throws, and somebody handles it': async () => {
    let asked = 0
    const broken = (): boolean => {
      if (asked++ < 3) throw new Error('the condition broke')
      return true
    }
    process.on('uncaughtException', ({ message }) => say(`handled: ${message}`))
    const token = new ConditionToken(broken, { suppressExceptions: false, pollEvery: 1 })
    token.onCancel(({ kind }) => say(kind))
    while (asked < 4) await delay(5)
    await delay(20)
  },

  'losers fail late': async () => {
    process.on('unhandledRejection', (error) => say(`unhandled: ${String(error)}`))
    const late = async (): Promise<never> => {
      await delay(20)
      throw new Error('late')
    }
    const token = new SimpleToken()
    say(await token.race([late(), late, async () => 'won']))
    await token.race([late(), late], { timeout: 1 }).catch(sayKind)
    const child = new SimpleToken(token)
    const race = child.race([late(), late, (own) => own.sleep(600_000)])
    child.cancel()
    await race.catch(sayKind)
    // Dead from the start: promises still run, and may fail.
    await child.race([late(), late]).catch(sayKind)
    // A source that fails after its reader was cancelled, and whose closing fails too.
    const reader = new SimpleToken(token)
    const source = {
      [Symbol.asyncIterator]: () => ({ next: late, return: () => Promise.reject(new Error('closing')) }),
    }
    const next = reader.iterate<unknown>(source)[Symbol.asyncIterator]().next()
    reader.cancel()
    await next.catch(sayKind)
    await delay(60)
    say('quiet')
  },

  'a million levels': () => exercise(deep(1_000_000, (token) => new SimpleToken(token))),
  'a hundred thousand sums': () => exercise(deep(100_000, (token) => token.plus(new SimpleToken({ name: 'another' })))),
  'graces and all-ofs': async () => {
    const other = new SimpleToken()
    const { root, bottom } = deep(3_000, (token, level) => {
      if (level % 3 === 0) return token.grace(0)
      return level % 3 === 1 ? allOf(token, other) : new SimpleToken(token)
    })
    say(`polls ${String(bottom.cancelled)}`)
    say(`left ${bottom.remaining}`)
    say(`text ${String(String(bottom).length > 10_000)}`)
    let calls = 0
    bottom.onCancel(() => calls++)
    other.cancel()
    root.cancel()
    while (calls === 0) await delay(5)
    say(`called ${calls}`)
    say(`polls ${String(bottom.cancelled)}`)
  },
  'a million levels wait': async () => {
    const { root, bottom } = deep(1_000_000, (token) => new SimpleToken(token))
    setTimeout(() => root.cancel('enough'), 10)
    say((await bottom.wait()).cause)
    say(bottom.signal.aborted)
  },

  print: () => {
    const root = new SimpleToken({ name: 'server' })
    const token = new SimpleToken({ name: 'request' }, root, new CounterToken(3))
    console.log(token)
    console.log({ token: [token] })
    root.cancel('shutting down')
    console.log(token)
    console.log('%s', token)
    console.log(NEVER, CANCELLED)
  },

  'print an error': () => {
    const token = new SimpleToken({ name: 'upload' }).cancel('user pressed stop')
    console.log(inspect(token.error).split('\n')[0])
    token.check()
  },
}

await programs[process.argv[2] as string]?.()
