/** Racing work against a token: the losers really stop, and nothing is left behind. */
import { type NamesOf, optional, optionalNonNegative, optionsOf, wrongType } from './arguments.js'
import { keepAlive } from './clock.js'
import { type Ambient, ambientIf } from './context.js'
import { discover, end, errorOf, INDIRECT, LOOK, type Subscriber, subscribe, type TokenNode } from './graph.js'
import { promiseUnder, soon } from './promises.js'

/** Something to race: a promise, or a function that is started with a token of its own. */
export type WorkOf<Token, T> = PromiseLike<T> | ((token: Token) => T | PromiseLike<T>)

/** How to race. */
export interface RaceOptions {
  /** Milliseconds until the race is lost by everybody, with a `TimeoutCancellationError`. Default: never. */
  readonly timeout?: number | undefined
  /**
   * The works run with their tokens as the current ones (`currentToken()` of `calloff/node`); and on a token that never ends,
   * which stands for none, the race is raced on the current one. Default: false.
   */
  readonly ambient?: boolean | undefined
}

const RACE_OPTIONS: NamesOf<RaceOptions> = ['timeout', 'ambient']

/** Makes the tokens a race needs. */
export interface RaceTokens<Token> {
  isNever(node: TokenNode): boolean
  child(...sources: TokenNode[]): Token & TokenNode
  deadline(ms: number): TokenNode
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null)?.then === 'function'

export function race<Token, T>(
  given: TokenNode,
  work: WorkOf<Token, T> | readonly WorkOf<Token, T>[],
  options: RaceOptions | undefined,
  make: RaceTokens<Token>,
): Promise<T> {
  return promiseUnder(given, (resolve, reject, refuse) => {
    const works = (Array.isArray(work) ? work : [work]) as readonly WorkOf<Token, T>[]
    let timeout: number | undefined
    let keeper: Ambient | undefined
    try {
      const { timeout: ms, ambient } = optionsOf(options, RACE_OPTIONS)
      timeout = optionalNonNegative('timeout', ms)
      keeper = ambientIf(optional('ambient', 'boolean', ambient))
      if (!works.length) throw new RangeError('work must hold something to race, got an empty array')
      for (const one of works) {
        if (typeof one !== 'function' && !isThenable(one)) throw wrongType('work', 'a promise or a function', one)
      }
    } catch (error) {
      // Nobody will hear what the promises among them come to.
      for (const one of works) if (isThenable(one)) one.then(undefined, () => {})
      throw error
    }
    const node = keeper && make.isNever(given) ? keeper.current() : given
    const dead = discover(node, INDIRECT)
    const limit = timeout === undefined ? undefined : make.deadline(timeout)
    const children: TokenNode[] = []
    let watch: Subscriber | undefined
    let watchLimit: Subscriber | undefined
    let letGo: (() => void) | undefined
    let over = false

    const finish = () => {
      over = true
      watch?.stop()
      watchLimit?.stop()
      letGo?.()
      for (const child of children) end(child, 'race')
    }
    const fail = (error: unknown) => {
      if (over) return
      finish()
      reject(error)
    }
    const succeed = (value: T) => {
      if (over) return
      const late = discover(node, LOOK)
      if (late) return fail(errorOf(late))
      finish()
      resolve(value)
    }
    // A job later, so that a work that has failed by now is heard first: its failure says more.
    const callOff = (error: unknown) =>
      soon(() => {
        if (over) return
        finish()
        refuse(error)
      })

    if (!dead) {
      watch = subscribe(node, callOff)
      if (limit) watchLimit = subscribe(limit, callOff)
      // A deadline ends the race even if nothing else keeps the process alive.
      if (limit || node.rules) letGo = keepAlive()
    }
    for (const one of works) {
      try {
        if (typeof one !== 'function') one.then(succeed, fail)
        else if (!over && !discover(node, LOOK)) {
          const child = limit ? make.child(node, limit) : make.child(node)
          children.push(child)
          const result = keeper ? keeper.run(child as never, () => one(child)) : one(child)
          if (isThenable(result)) result.then(succeed, fail)
          else succeed(result)
        }
      } catch (error) {
        fail(error)
      }
    }
    if (dead) callOff(errorOf(dead))
  })
}
