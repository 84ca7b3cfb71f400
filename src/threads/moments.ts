/**
 * A moment, written by one thread and read by another, whose clock may have another zero.
 *
 * On Node all threads count from the same origin, so a moment reads back exactly. Elsewhere each has its own, and the
 * difference is known only through the wall clock, at the two starts of the threads: who sets that clock between them shifts
 * every moment by as much. So a moment carries two more numbers, the wall clock at its writing and how far ahead it was then,
 * from which it can be had a second way. Where the two ways agree the first is exact; where they do not, the second is wrong
 * only if the clock was set between writing and reading.
 */
import { now, readOrigin, readWall } from '../core/clock.js'
import { MOMENT_WORDS } from './layout.js'

const floats = new Float64Array(MOMENT_WORDS / 2)
const words = new Int32Array(floats.buffer)

/** How far the two ways may be apart and still agree, in milliseconds: the wall clock counts in whole ones. */
const AGREE = 2

/** Writes a moment of this thread's clock, from a word on. */
export function writeMoment(at: number, into: Int32Array, word: number): void {
  floats[0] = readOrigin()
  floats[1] = at
  floats[2] = readWall()
  floats[3] = at - now()
  into.set(words, word)
}

/** Reads a moment on this thread's clock. It was ahead of its writer, or behind, and is no further ahead now than then. */
export function readMoment(from: Int32Array, word: number): number {
  // Neither a part of the array nor its pieces by name: what reads a cancellation has mostly not been compiled yet.
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
  // What lay ahead may have passed, but what another thread wrote is no reason to say anything else.
  return Number.isNaN(left) ? here : here + left
}
