/**
 * A moment, written by one thread and read by another, whose clock may have another zero.
 *
 * On Node all threads count from the same origin, so a moment is read back exactly. Elsewhere each thread has its own
 * origin. The difference of two origins is known only through the wall clock at the starts of the two threads. If the
 * wall clock is set between these starts, every moment is shifted by that change. So a moment carries two more
 * numbers: the wall clock at its writing, and how far ahead the moment was then. These give the moment in a second way.
 * If both ways agree, the first is exact. If they do not agree, the second is used. It is wrong only if the clock was
 * set between writing and reading.
 */
import { now, readOrigin, readWall } from '../core/clock.js'
import { MOMENT_WORDS } from './layout.js'

const floats = new Float64Array(MOMENT_WORDS / 2)
const words = new Int32Array(floats.buffer)

/** The largest difference at which the two ways agree, in milliseconds. The wall clock counts in whole milliseconds. */
const AGREE = 2

/** Writes a moment of this thread's clock, from the given word on. */
export function writeMoment(at: number, into: Int32Array, word: number): void {
  floats[0] = readOrigin()
  floats[1] = at
  floats[2] = readWall()
  floats[3] = at - now()
  into.set(words, word)
}

/** Reads a moment on this thread's clock. The result is not further ahead now than it was at its writing. */
export function readMoment(from: Int32Array, word: number): number {
  // No subarray and no destructuring: code that reads a cancellation is usually not compiled yet.
  for (let i = 0; i < MOMENT_WORDS; i++) words[i] = from[word + i] as number
  const origin = floats[0] as number
  const at = floats[1] as number
  if (origin === readOrigin()) return at
  const here = now()
  const wall = floats[2] as number
  const ahead = floats[3] as number
  const exact = origin + at - (readOrigin() + here)
  const rough = ahead - (readWall() - wall)
  const left = Math.min(Math.abs(exact - rough) <= AGREE ? exact : rough, ahead)
  // A moment may have passed since. Values that another thread wrote must not give any other result.
  return Number.isNaN(left) ? here : here + left
}
