/** Where the code under test was: lines of stacks, without the frames of calloff itself. */

/** A place in the code under test. */
export interface Place {
  /** The function of calloff that was called there, such as `check` or `onCancel`. */
  readonly operation: string | undefined
  /** The line of the stack: `load (file:///app/load.js:12:5)`. */
  readonly line: string
}

/** The folders of this package's code, with and without source maps. Some engines show paths, others URLs. */
const folders = ['..', '../../src/'].flatMap((folder) => {
  const { href, pathname } = new URL(folder, import.meta.url)
  return [href, decodeURIComponent(pathname)]
})

const isOwn = (line: string) => folders.some((folder) => line.includes(folder))

/** The most frames of a stack: those of calloff are not counted on. */
const FRAMES = 100

/**
 * Returns the place where the code under test has called calloff, in what runs now. Undefined if it is not on the
 * stack. A frame after `async` (V8) is a function that awaits what runs now.
 */
export function placeOfCaller(): Place | undefined {
  const before: unknown = Reflect.get(Error, 'stackTraceLimit')
  // Not by assignment, which throws where a program has frozen the intrinsics.
  Reflect.set(Error, 'stackTraceLimit', FRAMES)
  const { stack } = new Error() as { stack?: unknown } // it has another type where a program prepares stacks
  Reflect.set(Error, 'stackTraceLimit', before)
  if (typeof stack !== 'string') return undefined
  let operation: string | undefined
  for (const one of stack.split('\n')) {
    if (!/:\d+(:\d+)?\)?$/.test(one) || /node:|\[native code]/.test(one)) continue
    const line = one.trim().replace(/^at (async )?/, '')
    if (!isOwn(line)) return { operation, line }
    operation = nameIn(line) ?? operation
  }
  return undefined
}

/** The name of the function of a frame: of `SimpleToken.check (file…)` and `check@file…` it is `check`. */
function nameIn(line: string): string | undefined {
  const [, name] = /^(?:\S+\.)?(?:get |new )?([\w$]+)(?: \[as [\w$]+])?(?: \(|@)/.exec(line) ?? []
  return name
}
