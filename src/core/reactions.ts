/**
 * Follows promises of other code, however long they live.
 *
 * A reaction cannot be removed from a promise. So the followers of one promise share one reaction, which a follower can
 * leave. The outcome of a promise is not kept.
 *
 * Invariants
 * RE1. A reaction that has not settled, and that a follower has left, is one of two: the reaction that all later
 *     followers of its promise share, or an empty one. A promise has at most a few empty ones, of followers that came
 *     before the first one had left.
 * RE2. A follower has left the reaction when it is called.
 */

import { soon } from './clock.js'

/** Called once, with the outcome of the promise. */
export interface Follower {
  fulfilled(value: unknown): void
  rejected(error: unknown): void
}

/** A reaction on a promise. */
export class Reaction {
  /**
   * The followers, called in the order in which they came. Mostly there is one, and a set would take longer than
   * everything else.
   */
  private first: Follower | undefined = undefined
  private others: Set<Follower> | undefined = undefined
  isSettled = false
  /**
   * For observers: called with the failure if no follower hears it. It is that of the last follower that has left, so a
   * promise that lives long keeps one of them, however many have left it.
   */
  unheard: ((error: unknown) => void) | undefined = undefined
  /** See `lingering`. */
  next: Reaction | undefined = undefined

  /** @param promise its promise, while the reaction has no entry in the map but may need one; else undefined */
  constructor(private promise: object | undefined) {
    if (promise) unlisted++
  }

  add(follower: Follower): void {
    if (!this.first && !this.others?.size) this.first = follower
    else (this.others ??= new Set()).add(follower)
  }

  /** From now on the follower is not called. */
  leave(follower: Follower): void {
    if (this.first === follower) this.first = undefined
    this.others?.delete(follower)
    this.linger()
  }

  /** Lets later followers of the promise share this reaction, if it has not settled by the next microtask. */
  linger(): void {
    if (this.promise && !this.next) listSoon(this)
  }

  fulfil(value: unknown): void {
    this.settle()
    for (let one; (one = this.take());) one.fulfilled(value)
  }

  refuse(error: unknown): void {
    this.settle()
    let one = this.take()
    if (!one) this.unheard?.(error)
    for (; one; one = this.take()) one.rejected(error)
  }

  private take(): Follower | undefined {
    const { first, others } = this
    this.first = undefined
    if (first || !others) return first
    const [other] = others
    if (other) others.delete(other)
    return other
  }

  private settle(): void {
    this.isSettled = true
    this.needNoEntry()
  }

  private needNoEntry(): void {
    if (this.promise) unlisted--
    this.promise = undefined
  }

  /** Adds its entry to the map, if it needs one, unless another reaction has the entry. */
  list(): void {
    const { promise } = this
    if (!promise) return
    this.needNoEntry()
    const known = reactions.get(promise)
    if (!known || known.isSettled) reactions.set(promise, this)
  }
}

/** The reactions by their promises: those that have outlived a race, and some that may. */
const reactions = new WeakMap<object, Reaction>()

/**
 * The number of reactions that have no entry in the map. An entry takes longer than everything else in a race, and most
 * promises settle before they need one. Beyond a few such reactions, one in eight gets its entry at once, by chance. So
 * no promise can gather more than a few reactions of races that run at the same time (RE1).
 */
let unlisted = 0
const MANY = 64
let dice = 1

/**
 * Returns true once in eight times. It does not use `Math.random`: programs replace it by functions that always return
 * the same.
 */
function isDrawn(): boolean {
  dice = (Math.imul(dice, 1_664_525) + 1_013_904_223) | 0
  return dice >>> 29 === 0
}

/**
 * The reactions that have outlived a race, until the next microtask, when they may have settled. It is a list whose end
 * points to itself.
 */
let lingering: Reaction | undefined

function listSoon(reaction: Reaction): void {
  if (!lingering) soon(listAll)
  reaction.next = lingering ?? reaction
  lingering = reaction
}

function listAll(): void {
  let one = lingering
  lingering = undefined
  while (one) {
    const next: Reaction | undefined = one.next === one ? undefined : one.next
    one.next = undefined
    one.list()
    one = next
  }
}

// oxlint-disable-next-line typescript/unbound-method -- called on promises alone
const platformThen = Promise.prototype.then

type Then = (fulfilled: (value: unknown) => void, rejected: (error: unknown) => void) => unknown

/** Returns the `then` of a value, if the value is a promise or a thenable. Throws the error of a getter. */
export function thenOf(value: unknown): Then | undefined {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return undefined
  const { then } = value as { then?: unknown }
  return typeof then === 'function' ? (then as Then) : undefined
}

/**
 * Lets a follower follow a promise, which must have that `then`. Without a follower the promise is only handled: if it
 * rejects, that does not end the process.
 *
 * A thenable is not trusted. Only its first call of a callback counts. If it resolves with a promise, the outcome of
 * that promise counts. If it throws before, it has failed.
 */
export function follow(promise: object, then: Then, follower?: Follower): Reaction {
  const isNative = promise instanceof Promise && then === Promise.prototype.then
  // A mere thenable may start its task at each call of `then`, as query builders do. So `then` is called each time.
  const isPromise = isNative || looksLikePromise(promise)
  const known = isPromise ? reactions.get(promise) : undefined
  if (known && !known.isSettled) {
    if (follower) known.add(follower)
    return known
  }
  const reaction = new Reaction(isPromise ? promise : undefined)
  if (follower) reaction.add(follower)
  if (!isNative || !follower || (unlisted > MANY && isDrawn())) reaction.list()
  const fulfil = (value: unknown) => reaction.fulfil(value)
  const refuse = (error: unknown) => reaction.refuse(error)
  if (!isNative) ask(promise, then, fulfil, refuse)
  else {
    try {
      // The same call, but V8 inlines the call of a method.
      if (promise.then === platformThen) void promise.then(fulfil, refuse)
      else void platformThen.call(promise, fulfil, refuse)
    } catch (error) {
      refuse(error) // the promise's constructor is a getter that throws
    }
  }
  return reaction
}

/**
 * Returns the `then` that `await` calls: on a promise of the platform, a `then` that a program has put on the promise
 * is not called.
 */
export function awaitedThenOf(value: unknown): Then | undefined {
  if (!(value instanceof Promise)) return thenOf(value)
  try {
    return value.constructor === Promise ? (platformThen as Then) : thenOf(value)
  } catch {
    return platformThen as Then // its call meets the same error, and reports it
  }
}

/** Whether it is a promise of another realm, or of a class that extends `Promise`. */
function looksLikePromise(value: object): boolean {
  try {
    return Object.prototype.toString.call(value) === '[object Promise]'
  } catch {
    return false // a getter or a proxy that throws
  }
}

/**
 * Calls `then` as the language does for `await`, but without a microtask in between. So a failure is heard before a
 * cancellation that comes later.
 */
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
      // The platform finds out whether the value is a promise.
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
