/** Real servers for tests: started in a temporary folder, killed without a warning, started again, and ended come what may. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'

export interface Server {
  readonly port: number
  /** SIGKILL, to all of it. */
  kill(): Promise<void>
  /** Starts it again, on the same port and with what it had stored. */
  start(): Promise<void>
  /** Ends it for good, and takes its folder away. */
  end(): Promise<void>
}

export interface Program {
  readonly command: string
  readonly arguments: (port: number, folder: string) => readonly string[]
  /** Before the first start. */
  readonly prepare?: (folder: string) => void
  /** Whether it answers by now. */
  readonly answers: (port: number) => Promise<boolean>
}

/** False if it is there; else why not. Under CI it has to be there. */
export function skipWithout(name: string, path: string | undefined): string | false {
  if (path !== undefined) return false
  if (process.env['CI'] === 'true') throw new Error(`${name} is not installed`)
  return `${name} is not installed`
}

/** Where a program is: in the path, or in one of these folders. */
export function found(name: string, ...folders: string[]): string | undefined {
  const candidates = [...(process.env['PATH'] ?? '').split(':'), ...folders].map((folder) => join(folder, name))
  return candidates.find((path) => existsSync(path))
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}

/**
 * A program as root may not run it (PostgreSQL), and its files: of the user `nobody`, unless this is somebody else already.
 */
export function asNobody(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const idOf = (flag: string) => Number(spawnSync('id', [flag, 'nobody'], { encoding: 'utf8' }).stdout)
  return { uid: idOf('-u'), gid: idOf('-g') }
}

// The shell ends the server when its input is closed, as it is when this process ends, however that happens.
const GUARD = '"$@" & read _; kill -9 $! 2>/dev/null; wait'

export async function serve(program: Program, user?: { uid: number; gid: number }): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'calloff-server-'))
  if (user) spawnSync('chown', [`${user.uid}:${user.gid}`, folder])
  let port = await freePort()
  let running: ChildProcess | undefined
  let said = ''

  const kill = async () => {
    const guard = running
    running = undefined
    if (!guard || guard.exitCode !== null) return
    const ended = new Promise((resolve) => guard.once('close', resolve))
    guard.stdin?.end()
    await ended
  }
  const start = async () => {
    said = ''
    const guard = spawn('sh', ['-c', GUARD, 'sh', program.command, ...program.arguments(port, folder)], {
      cwd: folder,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...user,
    })
    running = guard
    guard.stdin.on('error', () => {})
    const hear = (text: string) => (said = (said + text).slice(-4_000))
    guard.stdout.setEncoding('utf8').on('data', hear)
    guard.stderr.setEncoding('utf8').on('data', hear)
    for (let i = 0; i < 600; i++) {
      if (await program.answers(port)) return
      await pause(50)
    }
    await kill()
    throw new Error(`${program.command} did not start:\n${said}`)
  }
  program.prepare?.(folder)
  try {
    await start()
  } catch {
    // Somebody else has got the port in between.
    port = await freePort()
    await start()
  }
  return {
    port,
    kill,
    start,
    async end() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
