/** Runs a program of programs.child.ts in a process of its own. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const file = fileURLToPath(new URL('programs.child.js', import.meta.url))

export interface Outcome {
  /** The lines it wrote. */
  readonly lines: readonly string[]
  readonly errors: string
  readonly code: number | null
  readonly killed: boolean
}

/** Runs one of the programs to its end; one that is alive after `ms` is killed, and says so. */
export function run(program: string, ms = 120_000, flags: readonly string[] = []): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    // A test runner's own variables would change how a child behaves.
    const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, FORCE_COLOR: _color, ...inherited } = process.env
    const env = { ...inherited, NO_COLOR: '1' }
    const child = spawn(process.execPath, [...flags, file, program], { env })
    let output = ''
    let errors = ''
    let killed = false
    const limit = setTimeout(() => {
      killed = true
      child.kill('SIGKILL')
    }, ms)
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(limit)
      resolve({ lines: output.split('\n').slice(0, -1), errors, code, killed })
    })
  })
}
