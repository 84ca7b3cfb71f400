// What the three families of runtimes call differently.

const bun = globalThis.Bun
const jsc = bun ? await import('bun:jsc') : undefined

/** Lets the event loop turn: `WeakRef`s keep what they point at until the current job ends. */
export const turn = () => new Promise((resolve) => setTimeout(resolve, 0))

/** A full collection. */
export const collect = () => (bun ? bun.gc(true) : globalThis.gc())

/** The bytes in use on the heap once everything that can go is gone. */
export async function heap() {
  for (let i = 0; i < 4; i++) {
    await turn()
    collect()
  }
  return jsc ? jsc.heapStats().heapSize : process.memoryUsage().heapUsed
}
