import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** The compiled example of that name: `quick-start`, `checksum/main`. */
export const pathOf = (name: string): string => fileURLToPath(new URL(`../../examples/${name}.js`, import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  readonly lines: readonly string[]
}

export interface Running {
  readonly child: ChildProcessWithoutNullStreams
  readonly outcome: Promise<Outcome>
}

/** Starts an example in a process of its own. */
export function start(name: string, args: readonly string[] = [], cwd?: string): Running {
  return startProgram(process.execPath, [pathOf(name), ...args], cwd)
}

export function startProgram(program: string, args: readonly string[], cwd?: string): Running {
  // A test runner's own variables would change how a child behaves.
  const { NODE_TEST_CONTEXT: _context, FORCE_COLOR: _color, ...env } = process.env
  const child = spawn(program, args, { cwd, env: { ...env, NO_COLOR: '1' } })
  const texts = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => (texts[stream] += text))
  }
  const ended = async (): Promise<Outcome> => {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    return { code, signal, ...texts, lines: texts.stdout.split('\n').slice(0, -1) }
  }
  return { child, outcome: ended() }
}

/** Runs an example to its end. */
export function run(name: string, args: readonly string[] = [], cwd?: string): Promise<Outcome> {
  return start(name, args, cwd).outcome
}
