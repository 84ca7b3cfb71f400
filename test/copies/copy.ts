/** A second copy of the package, as an application with two versions of a dependency has it. */
import type * as calloff from 'calloff'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'

export type Package = typeof calloff

/** Copies the built package to a folder of its own; gives the address to load it from: modules, classes and state of its own. */
export function anotherCopy(): string {
  const folder = mkdtempSync(join(tmpdir(), 'calloff-copy-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const dist = fileURLToPath(new URL('.', import.meta.resolve('calloff')))
  cpSync(dist, join(folder, 'dist'), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  return pathToFileURL(join(folder, 'dist', 'index.js')).href
}
