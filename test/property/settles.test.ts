/**
 * 19. Everything settles: random programs of scopes, loops and retries under a token whose condition throws at a random poll,
 * which is cancelled at a random moment or never, with tasks and sources that misbehave.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CancellationToken, ConditionToken, openScope, type Scope, scope, SimpleToken } from 'calloff'
import fc from 'fast-check'
import { tasks } from '../behaviour/settles/foreign.js'
import { isDriven, subscribers } from './inside.js'
import { runs } from './runs.js'

const stray: unknown[] = []
process.on('unhandledRejection', (reason) => stray.push(reason))
process.on('uncaughtException', (error) => stray.push(error))

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const silence = () => new Promise<never>(() => {})
const broken = new Error('the condition is broken')

/** What is done under a token; `index` says which kind of task or source. */
interface Step {
  readonly what:
    | 'run'
    | 'allSettled'
    | 'any'
    | 'hedged any'
    | 'race'
    | 'map'
    | 'map of a source'
    | 'inner scope'
    | 'open scope'
    | 'retry'
    | 'iterate'
    | 'leave a loop'
    | 'every'
    | 'sleep'
    | 'checkpoint'
    | 'turns'
  readonly kinds: readonly string[]
  readonly limit: number
  readonly awaits: boolean
}

interface Program {
  readonly steps: readonly Step[]
  readonly concurrency: number | undefined
  /** Which call of the condition throws. */
  readonly nth: number
  readonly forGood: boolean
  readonly cancelsAt: number | undefined
}

const own = ['heeds its token', 'takes a while'] as const
const kind = fc.constantFrom(...Object.keys(tasks), ...own)
const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom<Step['what']>(
    'run',
    'allSettled',
    'any',
    'hedged any',
    'race',
    'map',
    'map of a source',
    'inner scope',
    'open scope',
    'retry',
    'iterate',
    'leave a loop',
    'every',
    'sleep',
    'checkpoint',
    'turns',
  ),
  kinds: fc.array(kind, { minLength: 1, maxLength: 4 }),
  limit: fc.integer({ min: 1, max: 3 }),
  awaits: fc.boolean(),
})
const program: fc.Arbitrary<Program> = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 5 }),
  concurrency: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
  nth: fc.integer({ min: 1, max: 25 }),
  forGood: fc.boolean(),
  cancelsAt: fc.option(fc.nat(8), { nil: undefined }),
})

async function play({ steps, concurrency, nth, forGood, cancelsAt }: Program): Promise<void> {
  const root = new SimpleToken()
  let calls = 0
  const condition = () => {
    calls++
    if (calls === nth || (forGood && calls > nth)) throw broken
    return false
  }
  const token = new ConditionToken(condition, { suppressExceptions: false, pollEvery: Infinity }, root)
  const releases: (() => void)[] = []
  /** The sources that are open, and how often each was closed. */
  const open = new Set<object>()
  const closedTwice: object[] = []

  const taskOf = (name: string) => {
    if (name === own[0]) return (token: CancellationToken) => token.sleep(60_000)
    if (name === own[1]) return turn
    const { task, release } = (tasks[name] as (typeof tasks)[string])()
    if (release) releases.push(release)
    return task
  }
  /** Gives what the tasks give; answers `return()`, or is deaf to it. */
  const sourceOf = (kinds: readonly string[], isDeaf: boolean): AsyncIterable<unknown> => ({
    [Symbol.asyncIterator]() {
      const rest = [...kinds]
      let closed = 0
      const iterator = {
        next: () => {
          const name = rest.shift()
          if (name === undefined) {
            open.delete(iterator)
            return { done: true, value: undefined }
          }
          return { done: false, value: taskOf(name)(token) }
        },
        return: () => {
          open.delete(iterator)
          if (++closed > 1) closedTwice.push(iterator)
          return isDeaf ? silence() : { done: true, value: undefined }
        },
      }
      open.add(iterator)
      return iterator as unknown as AsyncIterator<unknown>
    },
  })
  const drain = async (source: AsyncIterable<unknown>, most: number) => {
    let seen = 0
    for await (const _ of source) if (++seen >= most) break
  }

  const take = ({ what, kinds, limit }: Step, s: Scope): Promise<unknown> => {
    const given = kinds.map(taskOf)
    switch (what) {
      case 'run':
        return s.run(given[0] as () => unknown)
      case 'allSettled':
        return s.allSettled(given)
      case 'any':
        return s.any(given)
      case 'hedged any':
        return s.any(given, { hedge: 0 })
      case 'race':
        return s.race(given)
      case 'map':
        return s.map(given, (task, own) => task(own), { concurrency: limit })
      case 'map of a source':
        return s.map(sourceOf(kinds, limit === 1), (item) => item, { concurrency: limit })
      case 'inner scope':
        return scope(s.token, (inner) => void given.map((task) => inner.run(task)), { concurrency: limit })
      case 'open scope': {
        const inner = openScope(s.token, { concurrency: limit })
        for (const task of given) void inner.run(task)
        return inner.close()
      }
      case 'retry':
        return s.token.retry((own, attempt) => given[attempt % given.length]?.(own), {
          delay: 0,
          when: async () => limit > 1 || Boolean(await given[0]?.(s.token)),
        })
      case 'iterate':
        return drain(s.token.iterate(sourceOf(kinds, limit === 1)), Infinity)
      case 'leave a loop':
        return drain(s.token.iterate(sourceOf(kinds, limit === 1)), limit)
      case 'every':
        return drain(s.token.every(0), limit)
      case 'sleep':
        return s.token.sleep(0)
      case 'checkpoint':
        return s.token.checkpoint()
      default:
        return drain(s.token.turns(), limit)
    }
  }

  let isOver = false
  const whole = scope(
    token,
    async (s) => {
      for (const one of steps) {
        const promise = take(one, s)
        const settled = Promise.allSettled([promise])
        if (one.awaits) await settled
      }
    },
    concurrency === undefined ? {} : { concurrency },
  ).then(
    () => (isOver = true),
    () => (isOver = true),
  )
  for (let turns = 0; !isOver; turns++) {
    await turn()
    if (turns === (cancelsAt ?? 12)) root.cancel('enough')
    // A scope waits for its tasks, the deaf ones too.
    if (turns > 14) for (const release of releases.splice(0)) release()
    assert.ok(turns < 2_000, 'it does not settle')
  }
  await whole
  root.cancel('in the end')
  for (const release of releases.splice(0)) release()
  for (let i = 0; i < 4; i++) await turn()
  assert.deepEqual(
    [subscribers(root), subscribers(token), isDriven(token)],
    [0, 0, false],
    'something is left on a token',
  )
  assert.deepEqual([...open], [], 'a source is left open')
  assert.deepEqual(closedTwice, [], 'a source is closed twice')
  assert.deepEqual(stray.splice(0), [], 'nothing is unhandled')
}

test('scopes, loops and retries settle, whatever a condition, tasks and sources do', async () => {
  await fc.assert(fc.asyncProperty(program, play), runs(500))
})
