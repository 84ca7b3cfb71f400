/**
 * Runs several programs over shared memory through every order in which their steps can happen.
 *
 * A program is ordinary code over a `Memory`. Each of its accesses is a step. To stop it between two of them it is run anew
 * from its start, with the results it has had so far, up to the next one: so it has to be a function of what it reads.
 *
 * Atomic accesses are sequentially consistent. A plain write is seen by another thread for sure only once that thread has
 * read, atomically, something that was written atomically after it; until then a plain read may give the old value or the
 * new one, each time anew. That is vector clocks, as in the memory model of the language.
 */
import type { Memory } from '../../dist/threads/protocol.js'

/** The memory of a program, which can also sleep. */
export interface Shared extends Memory {
  /** As `Atomics.wait`: sleeps while the word has that value, until it is woken. */
  sleep(word: number, value: number): 'ok' | 'not-equal' | 'timed-out'
}

export type Program = (memory: Shared) => unknown

export interface Ending {
  /** What each program has returned; undefined for one that died or sleeps. */
  readonly results: readonly unknown[]
  readonly fates: readonly ('done' | 'dead' | 'asleep')[]
  /** The last value of a word. */
  valueOf(word: number): number
}

export interface Setting {
  readonly programs: readonly Program[]
  /** What stands in the memory before; 0 where nothing is said. */
  readonly initial?: ReadonlyMap<number, number>
  /** These may die between any two of their steps. */
  readonly mortal?: readonly number[]
  /** Whether who sleeps on may look by himself once nobody else can go on. */
  readonly slices?: boolean
  /** Complains by throwing. */
  readonly check: (ending: Ending) => void
}

/** How often a sleeper looks by himself: often enough to see what there is to see, and seldom enough to come to an end. */
const SLICES = 2

interface Step {
  readonly kind: Exclude<keyof Shared, `${string}Long`>
  readonly word: number
  readonly value: number
  readonly expected: number
}

interface Write {
  readonly value: number
  readonly thread: number
  readonly time: number
  /** What its thread had seen by then, if it was atomic. */
  readonly clock: readonly number[] | undefined
}

interface Thread {
  readonly past: Past
  readonly clock: readonly number[]
  readonly fate: 'ready' | 'asleep' | 'done' | 'dead'
  readonly slices: number
}

interface World {
  readonly threads: readonly Thread[]
  readonly words: ReadonlyMap<number, Writes>
  readonly path: string
}

/**
 * What a program has been answered so far, and how far it comes with that. Each is made once, as a branch of the one before
 * it: so a program is run once for each, and the number of it stands for all of it.
 */
class Past {
  readonly id: number
  /** The first step whose answer is not known yet; none for a program that has ended. */
  readonly step: Step | undefined
  readonly result: unknown
  readonly #program: Program
  readonly #answers: readonly unknown[]
  readonly #next = new Map<unknown, Past>()
  readonly #number: () => number

  constructor(program: Program, number: () => number, answers: readonly unknown[] = []) {
    this.id = number()
    this.#program = program
    this.#answers = answers
    this.#number = number
    const { step, result } = advance(program, answers)
    this.step = step
    this.result = result
  }

  with(answer: unknown): Past {
    let next = this.#next.get(answer)
    if (next === undefined) {
      next = new Past(this.#program, this.#number, [...this.#answers, answer])
      this.#next.set(answer, next)
    }
    return next
  }
}

/** What has been written to a word, each list made once as well. */
class Writes {
  readonly id: number
  readonly all: readonly Write[]
  readonly #next = new Map<string, Writes>()
  readonly #number: () => number

  constructor(number: () => number, all: readonly Write[] = []) {
    this.id = number()
    this.all = all
    this.#number = number
  }

  with(write: Write): Writes {
    const key = `${write.value} ${write.thread} ${write.time} ${String(write.clock)}`
    let next = this.#next.get(key)
    if (next === undefined) {
      next = new Writes(this.#number, [...this.all, write])
      this.#next.set(key, next)
    }
    return next
  }
}

/** Explores everything; gives how many states there are. */
export function explore({ programs, initial, mortal = [], slices = false, check }: Setting): number {
  let count = 0
  const number = () => count++
  const none = new Writes(number)
  const clock = programs.map(() => 0)
  const begin = programs.map((program) => threadOf(new Past(program, number), clock, SLICES))
  const before = [...(initial ?? [])].map(
    ([word, value]) => [word, none.with({ value, thread: 0, time: 0, clock })] as const,
  )
  const worlds: World[] = [{ threads: begin, words: new Map(before), path: '' }]
  const seen = new Set<string>()
  for (let world; (world = worlds.pop());) {
    const key = keyOf(world)
    if (seen.has(key)) continue
    seen.add(key)
    const next = [...successors(world, none, mortal, slices)]
    worlds.push(...next)
    if (next.length > 0) continue
    const { threads, words } = world
    const fates = threads.map(({ fate }) => fate as 'done' | 'dead' | 'asleep')
    const valueOf = (word: number) => words.get(word)?.all.at(-1)?.value ?? 0
    try {
      check({ results: threads.map(({ past }) => past.result), fates, valueOf })
    } catch (error) {
      throw new Error(`after${world.path}: ${(error as Error).message}`, { cause: error })
    }
  }
  return seen.size
}

/** The same for the same state, however it was reached. */
function keyOf({ threads, words }: World): string {
  let key = ''
  for (const { past, clock, fate } of threads) key += `${past.id} ${clock.join(' ')} ${fate},`
  for (const word of [...words.keys()].toSorted((a, b) => a - b)) key += `${word} ${words.get(word)!.id},`
  return key
}

function* successors(world: World, none: Writes, mortal: readonly number[], slices: boolean): Generator<World> {
  let moves = false
  for (const [at, thread] of world.threads.entries()) {
    if (thread.fate !== 'ready') continue
    moves = true
    yield* take(world, at, thread, none)
    if (mortal.includes(at))
      yield { ...world, threads: world.threads.with(at, { ...thread, fate: 'dead' }), path: `${world.path} ${at}†` }
  }
  if (moves || !slices) return
  for (const [at, thread] of world.threads.entries()) {
    if (thread.fate !== 'asleep' || thread.slices === 0) continue
    const on = { ...thread, slices: thread.slices - 1 }
    yield settle(world, at, on, 'timed-out', `${at}:slice`)
  }
}

/** One step of one thread, in each way it can turn out. */
function* take(world: World, at: number, thread: Thread, none: Writes): Generator<World> {
  const { kind, word, value, expected } = thread.past.step!
  const clock = thread.clock.with(at, thread.clock[at]! + 1)
  const written = world.words.get(word) ?? none
  const writes = written.all
  const last = writes.at(-1)
  const now = last?.value ?? 0
  const label = `${at}:${kind}(${word}${kind === 'write' || kind === 'store' ? `, ${value}` : ''})`
  const go = (result: unknown, seen: readonly number[], write?: number, isAtomic = true) => {
    const entry = { value: write ?? 0, thread: at, time: clock[at]!, clock: isAtomic ? seen : undefined }
    const words = write === undefined ? world.words : new Map(world.words).set(word, written.with(entry))
    return settle({ ...world, words }, at, { ...thread, clock: seen }, result, `${label}=${String(result)}`)
  }
  const acquired = last?.clock ? clock.map((time, i) => Math.max(time, last.clock![i]!)) : clock
  switch (kind) {
    case 'load':
      yield go(now, acquired)
      return
    case 'store':
      yield go(undefined, clock, value)
      return
    case 'add':
      yield go(now, acquired, now + value)
      return
    case 'compareExchange':
      yield now === expected ? go(now, acquired, value) : go(now, acquired)
      return
    case 'write':
      yield go(undefined, clock, value, false)
      return
    case 'read': {
      // The last write that has to be visible, and every later one.
      const from = writes.findLastIndex((write) => write.thread === at || clock[write.thread]! >= write.time)
      const values = new Set(writes.slice(Math.max(from, 0)).map((write) => write.value))
      if (from < 0) values.add(0)
      for (const one of values) yield go(one, clock)
      return
    }
    case 'sleep':
      if (now === value) {
        const threads = world.threads.with(at, { ...thread, clock: acquired, fate: 'asleep' })
        yield { ...world, threads, path: `${world.path} ${label}` }
      } else yield go('not-equal', acquired)
      return
    case 'notify': {
      let woken = world
      for (const [other, sleeper] of world.threads.entries()) {
        if (sleeper.fate === 'asleep' && sleeper.past.step!.word === word)
          woken = settle(woken, other, sleeper, 'ok', `wakes ${other}`)
      }
      yield settle(woken, at, { ...thread, clock }, undefined, label)
    }
  }
}

function settle(world: World, at: number, thread: Thread, answer: unknown, label: string): World {
  const next = threadOf(thread.past.with(answer), thread.clock, thread.slices)
  return { ...world, threads: world.threads.with(at, next), path: `${world.path} ${label}` }
}

function threadOf(past: Past, clock: readonly number[], slices: number): Thread {
  return { past, clock, fate: past.step === undefined ? 'done' : 'ready', slices }
}

const stopped = Symbol('stopped')

/** Runs a program up to the first step whose answer is not known yet. */
function advance(program: Program, answers: readonly unknown[]): Pick<Past, 'step' | 'result'> {
  let done = 0
  let step: Step | undefined
  const access = (kind: Step['kind'], word: number, value = 0, expected = 0): never => {
    if (done < answers.length) return answers[done++] as never
    step = { kind, word, value, expected }
    throw stopped
  }
  try {
    const result = program({
      load: (word) => access('load', word),
      store: (word, value) => access('store', word, value),
      add: (word, value) => access('add', word, value),
      compareExchange: (word, expected, value) => access('compareExchange', word, value, expected),
      // A number of 64 bits is one word here.
      loadLong: (word) => access('load', word),
      compareExchangeLong: (word, expected, value) => access('compareExchange', word, value, expected),
      notify: (word) => access('notify', word),
      read: (word) => access('read', word),
      write: (word, value) => access('write', word, value),
      sleep: (word, value) => access('sleep', word, value),
    })
    return { step: undefined, result }
  } catch (error) {
    if (error !== stopped) throw error
    return { step, result: undefined }
  }
}
