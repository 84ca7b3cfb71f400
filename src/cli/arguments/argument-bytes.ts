/**
 * Finds arguments and variables that Node has changed.
 *
 * Arguments and the environment are bytes. Node makes text of them, and puts U+FFFD in place of invalid UTF-8. Names
 * would be other names, and a command would receive other arguments. So they are refused.
 */
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { UsageError } from '../terminal/errors.js'
import { visible } from '../terminal/visible.js'

const REPLACEMENT = '\uFFFD'

/** Checks the arguments. Errors: {@link UsageError} for the first argument that is no UTF-8. */
export function refuseChangedArguments(args: readonly string[]): void {
  if (process.platform === 'win32' || !args.some((one) => one.includes(REPLACEMENT))) return
  // Our own arguments are the last ones, after those of Node.
  const given = bytesOf('cmdline')?.slice(-args.length)
  for (const [at, one] of args.entries()) {
    if (!one.includes(REPLACEMENT) || given?.[at]?.equals(Buffer.from(one))) continue
    throw new UsageError(`argument ${at + 1} is not UTF-8, and would be changed: "${visible(one)}"`)
  }
}

/** Checks the environment. Errors: {@link UsageError} for the first variable that a command would receive changed. */
export function refuseChangedEnvironment(): void {
  const isChanged = Object.entries(process.env).some((entry) => entry.join('=').includes(REPLACEMENT))
  if (process.platform === 'win32' || !isChanged) return
  for (const bytes of bytesOf('environ') ?? []) {
    const text = bytes.toString('utf8')
    if (Buffer.from(text).equals(bytes)) continue
    const name = visible(text.split('=', 1)[0] ?? '')
    throw new UsageError(
      `the environment variable ${name} is not UTF-8, and would be changed; without it: env -u ${name} calloff run …`,
    )
  }
}

/** Returns the original bytes from the system. Undefined if the system does not report them. */
function bytesOf(file: 'cmdline' | 'environ'): readonly Buffer[] | undefined {
  try {
    const all = readFileSync(`/proc/self/${file}`)
    const found: Buffer[] = []
    for (let from = 0, to = all.indexOf(0); to !== -1; from = to + 1, to = all.indexOf(0, from)) {
      found.push(all.subarray(from, to))
    }
    return found
  } catch {
    return undefined
  }
}
