/** The command line as built, driven as scripts do: started, watched, signalled, and ended come what may. */
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { after } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const bin = fileURLToPath(new URL('../../../dist/bin/calloff.js', import.meta.url))

/** Milliseconds after which something that is waited for counts as not happening; never what a test measures. */
const PATIENCE = 120_000

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Program {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** Resolves when standard output has it; rejects when it ends without. */
  printed(text: string | RegExp): Promise<void>
}

const folders: string[] = []
const children = new Set<ChildProcess>()
// A child that still runs keeps this process alive and uses its folder.
after(() => {
  for (const child of children) {
    child.kill('SIGKILL')
    // What it has started may hold its output.
    for (const stream of child.stdio) stream?.destroy()
    child.unref()
  }
})
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A folder of its own, which goes with this process. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'calloff-cli-'))
  folders.push(folder)
  return folder
}

/** A user with nothing: a runtime directory and a home of its own, no hub, no key. */
export class User {
  readonly folder = newFolder()
  readonly env: NodeJS.ProcessEnv

  constructor() {
    const {
      CALLOFF_HUB: _hub,
      NODE_TEST_CONTEXT: _context,
      NODE_OPTIONS: _options,
      FORCE_COLOR: _color,
      NO_COLOR: _noColor,
      ...env
    } = process.env
    const programs = join(this.folder, 'bin')
    mkdirSync(programs)
    writeFileSync(join(programs, 'calloff'), `#!/bin/sh\nexec '${process.execPath}' '${bin}' "$@"\n`, { mode: 0o755 })
    this.env = {
      ...env,
      PATH: `${programs}:${env['PATH']}`,
      XDG_RUNTIME_DIR: this.folder,
      XDG_CONFIG_HOME: join(this.folder, 'config'),
      HOME: this.folder,
    }
  }

  /** Starts it. */
  start(
    args: readonly string[],
    { stdio = 'pipe', env = {} }: { stdio?: StdioOptions; env?: NodeJS.ProcessEnv } = {},
  ): Program {
    const child = spawn(process.execPath, [bin, ...args], { env: { ...this.env, ...env }, stdio, cwd: this.folder })
    return watched(child)
  }

  /** Starts another program of Node. */
  node(args: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
    const stdio = ['ignore', 'pipe', 'pipe'] as const
    const child = spawn(process.execPath, args, { env: { ...this.env, ...env }, stdio: [...stdio], cwd: this.folder })
    return watched(child)
  }

  /** Runs it to its end; with nothing to read. */
  run(...args: string[]): Promise<Ended> {
    return this.start(args, { stdio: ['ignore', 'pipe', 'pipe'] }).ended
  }

  /** Runs a line of a shell to its end, in which `calloff` is the command line. */
  shell(line: string): Promise<Ended> {
    const child = spawn('bash', ['-c', line], {
      env: this.env,
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return watched(child).ended
  }

  /** Ends the hub that was started on demand, for good. */
  async endStarted(): Promise<void> {
    const { stdout } = await this.shell('ps -eo pid,args')
    const own = stdout.split('\n').filter((line) => line.includes(' serve --listen ') && line.includes(this.folder))
    for (const line of own) process.kill(Number(line.trim().split(' ', 1)[0]))
  }

  /** A hub at the user's own socket, or where the options say. */
  async serve(...args: string[]): Promise<Program & { readonly url: string }> {
    const server = this.start(['serve', ...args])
    await server.printed(/^(ready |{).*\n/)
    const url =
      output
        .get(server.child)
        ?.trim()
        .replace(/^ready /, '') ?? ''
    return { ...server, url }
  }
}

/** What each has written so far. */
const output = new Map<ChildProcess, string>()

function watched(child: ChildProcess): Program {
  children.add(child)
  output.set(child, '')
  let stderr = ''
  const isThere = (text: string | RegExp) => {
    const all = output.get(child) ?? ''
    return typeof text === 'string' ? all.includes(text) : text.test(all)
  }
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => void output.set(child, output.get(child) + chunk))
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => void (stderr += chunk))
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      children.delete(child)
      resolve({ code, signal, stdout: output.get(child) ?? '', stderr })
    })
  })
  const printed = async (text: string | RegExp) => {
    const isOver = { now: false }
    void ended.then(() => (isOver.now = true))
    await until(
      () => {
        if (isThere(text)) return true
        if (isOver.now) throw new Error(`ended without ${String(text)}: ${output.get(child)}${stderr}`)
        return false
      },
      `${String(text)} was not printed`,
    )
  }
  return { child, ended, printed }
}

/** Resolves when it is so. */
export async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const limit = performance.now() + PATIENCE
  while (!(await isSo())) {
    if (performance.now() > limit) throw new Error(`${what} within ${PATIENCE} ms`)
    await pause(20)
  }
}

/** Whether the process is there, and not a zombie. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
  } catch (error) {
    // No /proc: then the signal has said it.
    return (error as NodeJS.ErrnoException).syscall === 'open' && !existsSync('/proc/self')
  }
}
