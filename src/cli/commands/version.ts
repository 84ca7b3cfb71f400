/** `calloff --version`. With `--json` it prints what a report of a fault needs. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { release } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { UsageError } from '../terminal/errors.js'
import { printResult } from '../terminal/output.js'

interface Manifest {
  readonly version: string
  readonly peerDependencies: Readonly<Record<string, string>>
}

/** Prints the version of the package, or with `--json` one object on one line. */
export function version(args: readonly string[]): number {
  const wrong = args.find((arg) => arg !== '--json')
  if (wrong !== undefined) throw new UsageError(`--version takes no argument but --json, got ${JSON.stringify(wrong)}`)
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Manifest
  return printResult(`${args.length === 0 ? manifest.version : JSON.stringify(environment(manifest))}\n`)
}

function environment({ version: own, peerDependencies }: Manifest): object {
  const { bun, deno, node } = process.versions
  const [name, ofRuntime] = bun ? ['bun', bun] : deno ? ['deno', deno] : ['node', node]
  const clients = Object.keys(peerDependencies).filter((name) => name !== '@opentelemetry/api') // no engine
  const versions = clients.map((client) => [client, installedVersion(client)])
  return {
    version: own,
    runtime: { name, version: ofRuntime },
    platform: { os: process.platform, release: release(), arch: process.arch },
    engines: Object.fromEntries(versions) as Readonly<Record<string, string | null>>,
  }
}

/** The version of a package as calloff would load it; null if it is not installed. */
function installedVersion(name: string): string | null {
  const { resolve } = createRequire(import.meta.url)
  for (const folder of resolve.paths(name) ?? []) {
    try {
      // Read as a file: the `exports` of a package may leave its package.json out.
      return (JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')) as Manifest).version
    } catch {
      // It is not in this folder.
    }
  }
  return null
}
