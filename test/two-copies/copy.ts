/** A second copy of the package, as an application with two versions of a dependency has it. */
import type * as calloff from 'calloff'
import { cpSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'

export type Package = typeof calloff

/**
 * Copies what the built `calloff` loads, and no more, to a folder of its own. Returns the address to load it from: modules, classes
 * and state of its own.
 */
export function anotherCopy(): string {
  const folder = mkdtempSync(join(tmpdir(), 'calloff-copy-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const dist = fileURLToPath(new URL('.', import.meta.resolve('calloff')))
  const isLoaded = (path: string) => path.endsWith('.js') || statSync(path).isDirectory()
  cpSync(join(dist, 'index.js'), join(folder, 'dist', 'index.js'))
  cpSync(join(dist, 'core'), join(folder, 'dist', 'core'), { recursive: true, filter: isLoaded })
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  return pathToFileURL(join(folder, 'dist', 'index.js')).href
}
