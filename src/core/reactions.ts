/**
 * Hearing of promises that are not ours, however long they live.
 *
 * A reaction cannot be taken off a promise. So the followers of a promise share one, which they can leave. Nothing of what a
 * promise comes to is kept.
 *
 * Invariants
 * RE1. A reaction that has not settled and has been left by a follower is the one that all later followers of its promise share,
 *     or an empty one: of these a promise has a few at most, from followers that came before the first had left.
 * RE2. A follower has left the reaction when it is called.
 */

import { soon } from './clock.js'

/** Is called once, with what the promise comes to. */
export interface Follower {
  fulfilled(value: unknown): void
  rejected(error: unknown): void
}

/** A reaction on a promise. */
export class Reaction {
  /** Who follows, first come first called. Mostly it is one, and a set would take longer than all the rest. */
  private first: Follower | undefined = undefined
  private others: Set<Follower> | undefined = undefined
  isSettled = false
  /** See `lingering`. */
  next: Reaction | undefined = undefined

  /** @param promise its promise, as long as the map of reactions lacks it, though it may need an entry */
  constructor(private promise: object | undefined) {
    if (promise) unlisted++
  }

  add(follower: Follower): void {
    if (!this.first && !this.others?.size) this.first = follower
    else (this.others ??= new Set()).add(follower)
  }

  /** The follower hears of the promise no longer. */
  leave(follower: Follower): void {
    if (this.first === follower) this.first = undefined
    this.others?.delete(follower)
    this.linger()
  }

  /** Later followers of the promise share it, if it has not settled by the next job. */
  linger(): void {
    if (this.promise && !this.next) listSoon(this)
  }

  fulfil(value: unknown): void {
    this.settle()
    for (let one; (one = this.take());) one.fulfilled(value)
  }

  refuse(error: unknown): void {
    this.settle()
    for (let one; (one = this.take());) one.rejected(error)
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

  /** Gets its entry in the map, if it needs one, unless another one has it. */
  list(): void {
    const { promise } = this
    if (!promise) return
    this.needNoEntry()
    const known = reactions.get(promise)
    if (!known || known.isSettled) reactions.set(promise, this)
  }
}

/** The reactions by their promises: of all that have outlived a race, and of those that may. */
const reactions = new WeakMap<object, Reaction>()

/**
 * How many reactions have no entry, which takes longer than all the rest of a race: most promises settle before they would
 * need one. Beyond a few, one in eight gets its entry at once, by chance; so no promise can gather more than a few reactions
 * of races that go on at the same time (RE1).
 */
let unlisted = 0
const MANY = 64
let dice = 1

/** True once in eight times. Not by `Math.random`, which programs replace by what gives always the same. */
function isDrawn(): boolean {
  dice = (Math.imul(dice, 1_664_525) + 1_013_904_223) | 0
  return dice >>> 29 === 0
}

/** Those that have outlived a race, until the next job: it may be that they have settled by then. A list, its end leads to itself. */
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
export function follow(promise: object, then: Then, follower?: Follower): Reaction {
  const isNative = promise instanceof Promise && then === Promise.prototype.then
  // A mere thenable may begin its task each time it is asked, as query builders do: so it is asked each time.
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
      // The same, but V8 inlines the call of a method.
      if (promise.then === platformThen) void promise.then(fulfil, refuse)
      else void platformThen.call(promise, fulfil, refuse)
    } catch (error) {
      refuse(error) // its constructor is a getter that throws
    }
  }
  return reaction
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
