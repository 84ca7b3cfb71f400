/**
 * Hearing of promises that are not ours, however long they live.
 *
 * A reaction cannot be taken off a promise. So the followers of a promise share one, and stand in its list, which they can
 * leave. Nothing of what a promise comes to is kept.
 *
 * Invariants
 * I1. A reaction that has not settled and has been left by a follower is the one that all later followers of its promise share,
 *     or an empty one: of these a promise has MOST_UNLISTED at most, from followers that came before the first had left.
 * I2. A follower stands in the list of one reaction at most, and leaves it before it is called.
 */

import { soon } from './clock.js'

/** Is called once, with what the promise comes to. */
export abstract class Follower {
  /** The neighbours in the list; see `reaction`. */
  next: Follower | undefined = undefined
  previous: Follower | undefined = undefined
  /** In whose list it stands; undefined if it stands in none. */
  reaction: Reaction | undefined = undefined
  promise: object | undefined = undefined

  abstract fulfilled(value: unknown): void
  abstract rejected(error: unknown): void

  /** It hears of the promise no longer. */
  leave(): void {
    const { next, previous, reaction } = this
    if (!reaction) return
    this.linger()
    this.next = this.previous = this.reaction = this.promise = undefined
    if (next) next.previous = previous
    else reaction.last = previous
    if (previous) previous.next = next
    else reaction.first = next
  }

  /** Whoever follows the promise later on shares its reaction, if it has not settled by then. */
  linger(): void {
    const { reaction, promise } = this
    if (!reaction?.isUnlisted) return
    if (lingering.length === 0) soon(listAll)
    lingering.push({ reaction, promise: promise as object })
  }
}

/** Calls one of two functions. */
export class Answer<T> extends Follower {
  constructor(
    readonly fulfilled: (value: T) => void,
    readonly rejected: (error: unknown) => void,
  ) {
    super()
  }
}

/** A reaction on a promise. */
class Reaction {
  first: Follower | undefined = undefined
  last: Follower | undefined = undefined
  isSettled = false

  /** @param isUnlisted whether the map of reactions lacks it, though it may need an entry */
  constructor(public isUnlisted: boolean) {
    if (isUnlisted) unlisted++
  }

  add(follower: Follower): void {
    follower.reaction = this
    follower.previous = this.last
    if (this.last) this.last.next = follower
    else this.first = follower
    this.last = follower
  }

  fulfil(value: unknown): void {
    this.settle()
    for (let one = this.first; one; one = this.first) {
      one.leave()
      one.fulfilled(value)
    }
  }

  refuse(error: unknown): void {
    this.settle()
    for (let one = this.first; one; one = this.first) {
      one.leave()
      one.rejected(error)
    }
  }

  private settle(): void {
    this.isSettled = true
    if (this.isUnlisted) this.needNoEntry()
  }

  private needNoEntry(): void {
    this.isUnlisted = false
    unlisted--
  }

  /** Gets its entry in the map, unless another one has it. */
  list(promise: object): void {
    this.needNoEntry()
    const known = reactions.get(promise)
    if (!known || known.isSettled) reactions.set(promise, this)
  }
}

/** The reactions by their promises: of all that have outlived a race, and of those that may. */
const reactions = new WeakMap<object, Reaction>()

/**
 * How many reactions have no entry, which takes longer than all the rest of a race: most promises settle before they would
 * need one. Beyond a few, each gets its entry at once; so no promise can gather more than a few reactions of races that go on
 * at the same time (I1).
 */
let unlisted = 0
const MOST_UNLISTED = 64

/** Those that have outlived a race, until the next job: it may be that they have settled by then. */
let lingering: { readonly reaction: Reaction; readonly promise: object }[] = []

function listAll(): void {
  const all = lingering
  lingering = []
  for (const { reaction, promise } of all) if (reaction.isUnlisted) reaction.list(promise)
}

// oxlint-disable-next-line typescript/unbound-method -- called on promises alone
const platformThen = Promise.prototype.then

type Then = (fulfilled: (value: unknown) => void, rejected: (error: unknown) => void) => unknown

/** The method by which a value is a promise, if it is one. Throws what a getter throws. */
export function thenOf(value: unknown): Then | undefined {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return undefined
  const { then } = value as { then?: unknown }
  return typeof then === 'function' ? (then as Then) : undefined
}

/**
 * Has the follower hear of the promise, which has that `then`. Without a follower the promise is handled: if it rejects, that
 * ends no process.
 *
 * A thenable is not trusted. It counts once; if it resolves with a promise, that counts; if it throws before, it has failed.
 */
export function follow(promise: object, then: Then, follower?: Follower): void {
  const isNative = promise instanceof Promise && then === Promise.prototype.then
  // A mere thenable may begin its task each time it is asked, as query builders do: so it is asked each time.
  const isPromise = isNative || looksLikePromise(promise)
  const known = isPromise ? reactions.get(promise) : undefined
  if (known && !known.isSettled) {
    if (follower) known.add(follower)
    return
  }
  const reaction = new Reaction(isPromise)
  if (follower) {
    follower.promise = promise
    reaction.add(follower)
  }
  if (isPromise && (!isNative || !follower || unlisted > MOST_UNLISTED)) reaction.list(promise)
  const fulfil = (value: unknown) => reaction.fulfil(value)
  const refuse = (error: unknown) => reaction.refuse(error)
  if (!isNative) return ask(promise, then, fulfil, refuse)
  try {
    void platformThen.call(promise as Promise<unknown>, fulfil, refuse)
  } catch (error) {
    refuse(error) // its constructor is a getter that throws
  }
}

/** The same as `await` has it: what was put on a promise of the platform as its `then` is not called. */
export function awaitedThenOf(value: unknown): Then | undefined {
  if (!(value instanceof Promise)) return thenOf(value)
  try {
    return value.constructor === Promise ? (platformThen as Then) : thenOf(value)
  } catch {
    return platformThen as Then // which meets the same error, and says so
  }
}

/** Of another realm, or of a class that extends `Promise`. */
function looksLikePromise(value: object): boolean {
  try {
    return Object.prototype.toString.call(value) === '[object Promise]'
  } catch {
    return false // a getter or a proxy that throws
  }
}

/** As the language does for `await`, but without a job in between: a failure is heard before a cancellation that comes later. */
function ask(promise: object, then: Then, fulfil: (value: unknown) => void, refuse: (error: unknown) => void): void {
  let isCalled = false
  const once = (what: () => void) => {
    if (isCalled) return
    isCalled = true
    what()
  }
  const resolve = (value: unknown) =>
    once(() => {
      if (value === promise) refuse(new TypeError('a thenable has resolved with itself'))
      // The platform finds out whether it is a promise.
      else if (Object(value) === value) new Promise((settle) => settle(value)).then(fulfil, refuse)
      else fulfil(value)
    })
  const reject = (error: unknown) => once(() => refuse(error))
  try {
    then.call(promise, resolve, reject)
  } catch (error) {
    reject(error)
  }
}
