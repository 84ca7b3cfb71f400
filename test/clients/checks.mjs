/** What every client is held to: one row describes how it is called, the checks are the same for all. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { isCancellation, SimpleToken, TimeoutToken } from 'calloff'
import { manualClock } from 'calloff/testing'

/**
 * @typedef {object} Use What a call is made under.
 * @property {import('calloff').CancellationToken} token
 * @property {AbortSignal} signal
 */

/**
 * @typedef {object} Client
 * @property {string} name
 * @property {(use: Use) => Promise<unknown>} hang A call that the other side never answers.
 * @property {(use: Use) => Promise<unknown>} finish A call that it answers.
 * @property {import('./origin.mjs').Meetings} meetings Where the calls that hang arrive.
 * @property {(error: unknown, token: import('calloff').CancellationToken) => void} throws States what the client throws.
 * @property {(error: unknown, token: import('calloff').CancellationToken) => void} [throwsBefore] If that is something else where the token was cancelled before.
 * @property {(error: unknown, token: import('calloff').CancellationToken) => void} [throwsLate] … where a deadline has passed.
 * @property {number} [listeners] How many listeners it leaves on the signal it was given; none, if left out.
 * @property {() => unknown} [close]
 */

/** States of the errors of clients, for `throws`. */
export const isReason = (error, token) => assert.equal(error, token.error)
export const wraps = (error, token) => {
  assert.notEqual(error, token.error)
  assert.equal(error.cause, token.error)
}
export const drops = (error, token) => {
  assert.notEqual(error, token.error)
  assert.notEqual(error.cause, token.error)
}

export const failureOf = (promise) =>
  promise.then(
    () => assert.fail('it was to reject'),
    (error) => error,
  )

const HOUR = 3_600_000

/** Until the other side has the call, which must not have ended by then. */
const arrival = (meeting, failure) =>
  Promise.race([meeting, failure.then((error) => assert.fail(`ended too early: ${error}`))])

/** A token below a foreign signal, which carries one listener of calloff's at most, however many calls there have been. */
function tokenBelow(make = (signal) => new SimpleToken({ name: 'call' }, signal)) {
  const root = new AbortController()
  const token = make(root.signal)
  return {
    token,
    isFree() {
      const count = getEventListeners(root.signal, 'abort').length
      assert.ok(count <= 1, `${count} listeners are left above the token`)
    },
  }
}

/** Some take their listener back a turn or two later. */
async function isLeft(token, { listeners = 0 }) {
  const count = () => getEventListeners(token.signal, 'abort').length
  for (let turn = 0; turn < 100 && count() > listeners; turn++) await pause(5)
  const left = count()
  assert.ok(left <= listeners, `the client has left ${left} listeners on the signal`)
}

/** What keeps the process alive, counted; timers that do not are not among it. */
function handles() {
  const counts = new Map()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
}

/** What is there now and was not then. */
function newHandles(held) {
  return [...handles()]
    .filter(([kind, count]) => /TCP|Pipe|Process|MessagePort|Timeout/.test(kind) && count > (held.get(kind) ?? 0))
    .map(([kind]) => kind)
}

/** Tests all that every client is held to. `open` starts the other side and gives the client; `skip` says why it cannot. */
export function checkClient(name, open, { skip = false } = {}) {
  describe(name, { skip }, () => {
    /** @type {Client} */
    let client
    let held
    before(async () => {
      held = handles()
      client = await open()
    })
    after(async () => {
      await client.close?.()
      // A socket is closed a turn or two after it was asked to.
      for (let turn = 0; turn < 500 && newHandles(held).length > 0; turn++) await pause(10)
      assert.deepEqual(newHandles(held), [], 'what is left of the client')
    })

    test('cancelled mid-way', async () => {
      const { token } = tokenBelow()
      const meeting = client.meetings.next()
      const call = failureOf(client.hang({ token, signal: token.signal }))
      const { left } = await arrival(meeting, call)
      token.cancel('enough')
      const error = await call
      assert.equal(isCancellation(error, token), true)
      client.throws(error, token)
      await left
      await isLeft(token, client)
    })

    test('cancelled before', async () => {
      const { token } = tokenBelow()
      token.cancel('enough')
      const { count } = client.meetings
      const error = await failureOf(client.hang({ token, signal: token.signal }))
      assert.equal(isCancellation(error, token), true)
      const throws = client.throwsBefore ?? client.throws
      throws(error, token)
      assert.equal(client.meetings.count, count, 'the other side has heard of it')
    })

    test('a deadline that passes', async (t) => {
      const clock = manualClock()
      t.after(() => clock.uninstall())
      const { token } = tokenBelow((signal) => new TimeoutToken(HOUR, signal))
      const meeting = client.meetings.next()
      const call = failureOf(client.hang({ token, signal: token.signal }))
      const { left } = await arrival(meeting, call)
      clock.tick(HOUR)
      const error = await call
      assert.equal(token.error?.kind, 'timeout')
      assert.equal(isCancellation(error, token), true)
      const throws = client.throwsLate ?? client.throws
      throws(error, token)
      await left
    })

    test('cancelled after it has finished', async () => {
      const { token } = tokenBelow()
      await client.finish({ token, signal: token.signal })
      await isLeft(token, client)
      token.cancel('enough')
      await pause()
    })

    test('in a race, mid-way: the error is the token’s, and nothing is left on the token', async () => {
      const { token, isFree } = tokenBelow()
      const meeting = client.meetings.next()
      const call = failureOf(token.race((own) => client.hang({ token: own, signal: own.signal })))
      const { left } = await arrival(meeting, call)
      token.cancel('enough')
      assert.equal(await call, token.error)
      await left
      isFree()
    })

    test('in a race that is won, nothing is left on the token', async () => {
      const { token, isFree } = tokenBelow()
      for (let call = 0; call < 3; call++) {
        await token.race((own) => client.finish({ token: own, signal: own.signal }))
      }
      isFree()
      token.cancel('enough')
      await pause()
    })

    test('in a race with a deadline', async (t) => {
      const clock = manualClock()
      t.after(() => clock.uninstall())
      const { token, isFree } = tokenBelow((signal) => new TimeoutToken(HOUR, signal))
      const meeting = client.meetings.next()
      const call = failureOf(token.race((own) => client.hang({ token: own, signal: own.signal })))
      const { left } = await arrival(meeting, call)
      clock.tick(HOUR)
      const error = await call
      assert.equal(error, token.error)
      assert.equal(error.kind, 'timeout')
      await left
      isFree()
    })
  })
}
