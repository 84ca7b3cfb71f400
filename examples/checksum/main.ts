/**
 * Hashes every file of a folder under one sum of tokens: a time limit, a number of files, a file that says stop, Ctrl+C.
 * Run with `npm start -- --help`.
 */
import { existsSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  anyOf,
  type CancellationError,
  ConditionToken,
  CounterToken,
  isCancellation,
  NEVER,
  TimeoutToken,
} from 'calloff'
import { ProcessSignalToken } from 'calloff/node'
import { type Arguments, readArguments, usage, UsageError } from './arguments.js'
import { run } from './job.js'
import { Progress } from './progress.js'
import { count } from './units.js'

async function main(given: Arguments): Promise<number> {
  using interrupted = new ProcessSignalToken('SIGINT', 'SIGTERM')
  const { time, files, stopFile, manifest } = given
  const limit = time === undefined ? NEVER : new TimeoutToken(time, { name: '--for' })
  const budget = files === undefined ? NEVER : new CounterToken(files, { name: '--files' })
  const stop = stopFile === undefined ? NEVER : new ConditionToken(() => existsSync(stopFile), { name: '--stop-file' })
  const token = anyOf(interrupted, limit, budget, stop)

  const folders = given.folders.length > 0 ? given.folders : [ownDependencies()]
  const progress = new Progress(process.stderr)
  try {
    const unreadable = await run({ folders, manifest, progress, token, budget })
    console.log(`hashed ${progress.summary}`)
    console.log(`wrote ${manifest}${unreadable === 0 ? '' : `, without ${count(unreadable)} that could not be read`}`)
    return unreadable === 0 ? 0 : 1
  } catch (error) {
    if (!isCancellation(error, token) || token.error === undefined) throw error
    console.log(`cancelled by ${explain(token.error)}`)
    console.log(`got as far as ${progress.summary}; nothing was written`)
    return interrupted.exitCode ?? 124
  }
}

/** Who and why. */
function explain({ kind, token, cause }: CancellationError): string {
  if (kind === 'process-signal') return `the process signal ${String(cause)}`
  const reasons: Partial<Record<typeof kind, string>> = {
    timeout: 'the time is up',
    counter: 'that many files are hashed',
    condition: 'the file is there',
  }
  return `${token.name}: ${reasons[kind]}`
}

/** This project's node_modules, seen from here. */
function ownDependencies(): string {
  return relative('', fileURLToPath(new URL('../../../node_modules', import.meta.url)))
}

try {
  const given = readArguments(process.argv.slice(2))
  if (given.help) console.log(usage.trimEnd())
  else process.exitCode = await main(given)
} catch (error) {
  console.error(`checksum: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
