/** The very code that the library runs, and ways to break it. */
import type * as layoutModule from '../../dist/threads/layout.js'
import type * as protocolModule from '../../dist/threads/protocol.js'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'

export type Protocol = typeof protocolModule
export type Layout = typeof layoutModule

const folder = new URL('../../../dist/threads/', import.meta.url)

export const protocol = (await import(new URL('protocol.js', folder).href)) as Protocol
export const layout = (await import(new URL('layout.js', folder).href)) as Layout

let made = 0

/** The same code with one thing changed in its text, which must stand there. */
export async function broken(from: string | RegExp, to: string): Promise<Protocol> {
  const text = readFileSync(new URL('protocol.js', folder), 'utf8')
  const changed = text.replace(from, to)
  if (changed === text) throw new Error(`nothing to change: ${String(from)}`)
  const file = new URL(`broken-${process.pid}-${made++}.mjs`, folder)
  writeFileSync(file, changed)
  try {
    return (await import(file.href)) as Protocol
  } finally {
    rmSync(file)
  }
}
