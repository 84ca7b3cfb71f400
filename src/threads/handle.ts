/** The plain value that stands for a shared token in a message. */
import { wrongType } from '../core/arguments.js'
import { aliveState, BELL, LAST_GENERATION, SLOT_BYTES } from './layout.js'
import type { CountHandle } from './counts.js'
import { isShared } from './memory.js'
import { isPage, Page, pageIn, type Allocation } from './pages.js'

/**
 * A shared token as a plain value. It can be posted in any message, passed as `workerData`, and posted on by each
 * receiver. `SharedToken.from(handle)` makes a token from it again.
 */
export interface SharedHandle {
  /** Marks the value as a handle. */
  readonly calloff: 'SharedToken'
  /** The memory that contains the token. */
  readonly buffer: SharedArrayBuffer
  /** Its position in the memory, in bytes. */
  readonly byteOffset: number
  /** Which of the tokens that have lived there. */
  readonly generation: number
  /** Whether it is in the caller's own memory: see `SharedToken.at`. */
  readonly apart: boolean
  /** The name of the token. */
  readonly name: string | undefined
  /** The counters above it, if there are any. */
  readonly counters?: readonly CountHandle[] | undefined
}

/** Throws if this context has no shared memory. A page has it only if it is served with two headers. */
export function needSharedMemory(): void {
  if (typeof SharedArrayBuffer === 'function') return
  throw new TypeError(
    'SharedToken: there is no shared memory here: serve the page with the headers ' +
      'Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp',
  )
}

/** Checks and returns a place in the caller's own memory. */
export function allocationIn(buffer: unknown, byteOffset: unknown): Allocation {
  if (!isShared(buffer)) {
    throw wrongType('buffer', 'a SharedArrayBuffer (of a WebAssembly.Memory: one made with `shared: true`)', buffer)
  }
  if (typeof byteOffset !== 'number') throw wrongType('byteOffset', 'a number', byteOffset)
  if (!Number.isInteger(byteOffset) || byteOffset < 0 || byteOffset % 4 !== 0) {
    throw new RangeError(`byteOffset must be a multiple of 4, and not negative, got ${byteOffset}`)
  }
  if (byteOffset + SLOT_BYTES > buffer.byteLength) {
    throw new RangeError(
      `buffer must have room for ${SLOT_BYTES} bytes at byteOffset ${byteOffset}, got ${buffer.byteLength} bytes in all`,
    )
  }
  if (isPage(buffer)) {
    throw new TypeError(
      'buffer must be memory of your own, got a page of calloff: make a token of its handle with SharedToken.from(handle)',
    )
  }
  const slot = byteOffset / 4
  const view = new Int32Array(buffer, 0, Math.floor(buffer.byteLength / 4))
  return { page: new Page(view, slot + BELL), place: { slot, bell: slot + BELL, alive: 0 } }
}

/** Returns where the token of a handle is. Errors: `TypeError`, `RangeError` for a value that is no handle. */
export function allocationOf(handle: unknown): Allocation {
  needSharedMemory()
  const { calloff, buffer, byteOffset, generation, apart } = Object(handle) as Partial<SharedHandle>
  if (calloff !== 'SharedToken' || !isShared(buffer)) {
    throw wrongType('handle', 'what `token.handle` gives, and postMessage or workerData hand on', handle)
  }
  if (apart === true) return allocationIn(buffer, byteOffset)
  const slot = (byteOffset as number) / 4
  const page = typeof byteOffset === 'number' ? pageIn(buffer, slot) : undefined
  if (
    !page ||
    !Number.isInteger(generation) ||
    !((generation as number) >= 0) ||
    (generation as number) > LAST_GENERATION
  ) {
    throw new TypeError('handle must come from the same version of calloff, got memory that is laid out differently')
  }
  return { page, place: { slot, bell: page.bell, alive: aliveState(generation as number) } }
}
