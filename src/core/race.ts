/** Races tasks against a token: the losers really stop, and nothing is left behind. */
import { type NamesOf, optional, optionalNonNegative, optionsOf, wrongType } from './arguments.js'
import { keepAlive, soon } from './clock.js'
import { type Ambient, ambientIf, bind } from './context.js'
import { isCancellation } from './errors.js'
import {
  discover,
  each,
  end,
  errorOf,
  INDIRECT,
  READ,
  type Some,
  type Subscriber,
  subscribe,
  surface,
  type TokenNode,
} from './graph.js'
import { reports } from './observation.js'
import { handled } from './promises.js'
import { follow, type Follower, type Reaction, thenOf } from './reactions.js'
import { holdFor } from './remaining.js'
import type { CancellationToken } from './token.js'

/** An entry of a race: a promise, or a function. A function is started with a token of its own. */
export type TaskOf<Token, T> = PromiseLike<T> | ((token: Token) => T | PromiseLike<T>)

/** The options of a race. */
export interface RaceOptions<T = unknown> {
  /**
   * Milliseconds until the race fails with a `TimeoutCancellationError`. This is the same as a race under a
   * `TimeoutToken`, but the token itself is not cancelled. Default: never.
   */
  readonly timeout?: number | undefined
  /**
   * Called with the value of each task that succeeds after the race has ended, once for each such task. It is for
   * values that must be given back, such as a connection of a pool. If it throws, the error surfaces as an uncaught
   * one. While such a task has not settled, its promise keeps this function. Default: late values are dropped.
   */
  readonly late?: ((value: T) => void) | undefined
  /**
   * Whether each task runs with its own token as the current one (`currentToken()` of `calloff/node`). The race then
   * takes the current token in place of a token that is never cancelled. Default: false.
   */
  readonly ambient?: boolean | undefined
}

const RACE_OPTIONS: NamesOf<RaceOptions> = ['timeout', 'late', 'ambient']

/** Makes the tokens that a race needs. */
export interface RaceTokens<Token> {
  isNever(node: TokenNode): boolean
  child(...sources: TokenNode[]): Token & TokenNode
  limit(ms: number, operation: string, node: TokenNode): TokenNode
}

export function race<Token, T>(
  given: TokenNode,
  task: TaskOf<Token, T> | readonly TaskOf<Token, T>[],
  options: RaceOptions<T> | undefined,
  make: RaceTokens<Token>,
): Promise<T> {
  const tasks = Array.isArray(task) ? (task as readonly TaskOf<Token, T>[]) : undefined
  const race = new Race<Token, T>(given, make)
  try {
    let node = given
    let ms = Infinity
    if (options !== undefined) {
      const { timeout, late, ambient } = optionsOf<RaceOptions<T>>(options, RACE_OPTIONS)
      if (optional('late', 'function', late)) race.late = bind ? bind(late as (value: T) => void) : late
      ms = optionalNonNegative('timeout', timeout) ?? Infinity
      const keeper = (race.keeper = ambientIf(optional('ambient', 'boolean', ambient)))
      if (keeper && make.isNever(given)) node = keeper.current()
    }
    if (!tasks) check(task)
    else if (tasks.length) for (const one of tasks) check(one)
    else throw new RangeError('task must hold something to race, got an empty array')
    // A `timeout` becomes the token that it stands for, so that both behave alike.
    if (ms < Infinity) race.begin(make.child(node, make.limit(ms, 'race', node)), keepAlive)
    else race.begin(node, holdFor)
  } catch (error) {
    race.rejected(error)
  }
  // Promises are followed in any case: their rejections are handled, and their values may have to be given back.
  if (tasks) for (const one of tasks) race.enter(one)
  else race.enter(task as TaskOf<Token, T>)
  return race.result
}

/** Throws for a value that is no task. */
export function check(task: unknown): void {
  if (typeof task !== 'function' && !thenOf(task)) throw wrongType('task', 'a promise or a function', task)
}

/** One race. It has no `#private` names: on Node 20, adding ten of them takes longer than the rest of a race. */
class Race<Token, T> implements Follower {
  readonly result: Promise<T>
  late: ((value: T) => void) | undefined = undefined
  keeper: Ambient | undefined = undefined
  private isOver = false
  private isDead = false
  private resolve!: (value: T) => void
  private reject!: (error: unknown) => void
  private watch: Subscriber | undefined = undefined
  private letGo: (() => void) | undefined = undefined
  /** The reactions on the promises that it follows. */
  private reactions: Some<Reaction> = undefined
  private children: TokenNode[] | undefined = undefined

  constructor(
    private node: TokenNode,
    private readonly make: RaceTokens<Token>,
  ) {
    this.result = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  /**
   * Starts the race: from now on the token can end it. Under a token that is already cancelled, promises can still fail
   * first.
   *
   * @param hold keeps the process alive where something may cancel the node; it returns the function that lets the
   * process go
   */
  begin(node: TokenNode, hold: (node: TokenNode) => (() => void) | undefined): void {
    this.node = node
    const dead = discover(node, INDIRECT)
    if (dead) {
      this.isDead = true
      return this.rejectCancelled(errorOf(dead))
    }
    this.watch = subscribe(node, (error) => this.rejectCancelled(error))
    this.letGo = hold(node)
  }

  enter(task: TaskOf<Token, T>): void {
    try {
      if (typeof task !== 'function') this.follow(task)
      else if (!this.isOver && !this.isDead && !discover(this.node, READ)) {
        const child = this.make.child(this.node)
        ;(this.children ??= []).push(child)
        const { keeper } = this
        const result = keeper ? keeper.run(child as never, () => task(child)) : task(child)
        if (!this.follow(result)) this.fulfilled(result)
      }
    } catch (error) {
      this.rejected(error)
    }
  }

  /** Lets a promise take part. Returns false if the value is no promise. */
  private follow(promise: unknown): boolean {
    const then = thenOf(promise)
    if (!then) return false
    const reaction = follow(promise as object, then, this.isOver && !this.late ? undefined : this)
    const { reactions } = this
    if (this.isOver) {
      if (!this.late) this.leave(reaction)
      return true
    }
    // One reaction or several: a race of one promise needs no array.
    if (!reactions) this.reactions = reaction
    else if (Array.isArray(reactions)) reactions.push(reaction)
    else this.reactions = [reactions as Reaction, reaction]
    return true
  }

  // A microtask later, so that a task that has failed by now is heard first: its failure says more.
  private rejectCancelled(error: unknown): void {
    soon(() => this.rejected(error))
  }

  fulfilled(value: unknown): void {
    const dead = this.isOver ? undefined : discover(this.node, READ)
    if (dead) this.rejected(errorOf(dead))
    if (this.isOver) return this.giveBack(value as T)
    this.finish()
    this.resolve(value as T)
  }

  rejected(error: unknown): void {
    if (this.isOver) return reports?.failedLate(error, 'race', this.node, this.children)
    this.finish()
    // A client that rejects in the moment of the cancellation may say less than the token, because its signal is
    // aborted first.
    const isOwn = isCancellation(error, this.node as CancellationToken)
    if (isOwn) void handled(this.result)
    this.reject(isOwn ? (this.node as CancellationToken).error : error)
  }

  private finish(): void {
    this.isOver = true
    this.watch?.stop()
    this.letGo?.()
    const { late, reactions } = this
    this.reactions = undefined
    // With `late` it goes on following the promises.
    each(reactions, (one) => (late ? one.linger() : this.leave(one)))
    if (this.children) for (const child of this.children) end(child, 'race')
  }

  private leave(reaction: Reaction): void {
    reaction.leave(this)
    if (reports) reaction.unheard = (error) => this.rejected(error)
  }

  private giveBack(value: T): void {
    try {
      this.late?.(value)
    } catch (error) {
      surface(error)
    }
  }
}
