/** Child programs, on the runtimes that are there: started, and watched line by line. The runner ends one that hangs. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

export interface Runtime {
  readonly name: string
  readonly command: string
  readonly before: readonly string[]
  /** Why it cannot be run here, or false. */
  readonly skip: string | false
}

const folder = new URL('../../../runtimes/node_modules/', import.meta.url)
const platform = `${process.platform}-${process.arch}`

function installed(name: string, path: string, before: readonly string[]): Runtime {
  const command = fileURLToPath(new URL(path, folder))
  const skip = existsSync(command) ? false : `${name} is not installed: npm ci --prefix runtimes`
  return { name, command, before, skip }
}

export const node: Runtime = { name: 'Node', command: process.execPath, before: [], skip: false }

/** The running Node, and what `npm run test:runtimes` has installed. */
export const runtimes: readonly Runtime[] = [
  node,
  installed('Bun', `@oven/bun-${platform.replace('arm64', 'aarch64')}/bin/bun`, []),
  installed('Deno', `@deno/${platform}${process.platform === 'linux' ? '-glibc' : ''}/deno`, [
    'run',
    '--allow-all',
    '--no-check',
    '--no-lock',
    '--quiet',
  ]),
]

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly lines: readonly string[]
  readonly errors: string
}

export interface Program {
  /** Resolves when the program has printed that line; rejects when it ends without. */
  printed(line: string): Promise<void>
  send(signal: NodeJS.Signals): void
  readonly ended: Promise<Ended>
}

/** Starts a compiled program of this folder, such as `process-signals.child.js`, in a process of its own. */
export function start(runtime: Runtime, file: string, ...args: string[]): Program {
  const path = fileURLToPath(new URL(file, import.meta.url))
  // A test runner's own variables would change how a child behaves.
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, FORCE_COLOR: _color, ...inherited } = process.env
  const env = { ...inherited, NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1' }
  const child: ChildProcess = spawn(runtime.command, [...runtime.before, path, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let errors = ''
  const lines = () => out.split('\n').slice(0, -1)
  const watchers = new Set<() => void>()
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text))
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    out += text
    for (const look of watchers) look()
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      resolve({ code, signal, lines: lines(), errors })
    })
  })
  return {
    ended,
    send: (signal) => void child.kill(signal),
    printed: (line) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!lines().includes(line)) return false
          watchers.delete(look)
          resolve()
          return true
        }
        watchers.add(look)
        if (look()) return
        const fail = (end: Ended): void => {
          watchers.delete(look)
          reject(new Error(`it ended without printing "${line}": ${JSON.stringify(end)}`))
        }
        void ended.then(fail, reject)
      }),
  }
}
