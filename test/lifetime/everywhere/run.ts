/** Runs one of the programs beside this file in a process of its own, on the runtime that runs the test. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Outcome {
  /** The lines it wrote. */
  readonly lines: readonly string[]
  readonly errors: string
  readonly code: number | null
  readonly killed: boolean
}

const before = 'Deno' in globalThis ? ['run', '--allow-all', '--node-modules-dir=manual'] : []

/** Runs it to its end; kills it when `until` says so, of what it has written. */
export function run(
  file: string,
  args: readonly string[] = [],
  until?: (lines: readonly string[]) => boolean,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    // A test runner's own variables would change how a child behaves.
    const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, FORCE_COLOR: _color, ...inherited } = process.env
    const path = fileURLToPath(new URL(file, import.meta.url))
    const child = spawn(process.execPath, [...before, path, ...args], { env: { ...inherited, NO_COLOR: '1' } })
    let output = ''
    let errors = ''
    let killed = false
    const linesOf = () => output.split('\n').slice(0, -1)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (!until?.(linesOf())) return
      killed = true
      child.kill('SIGKILL')
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
    child.on('error', reject)
    child.on('close', (code) => resolve({ lines: linesOf(), errors, code, killed }))
  })
}
