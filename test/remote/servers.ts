/** Real servers for tests: started in a temporary folder, killed without a warning, started again, and ended come what may. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'

export interface Server {
  readonly port: number
  /** SIGKILL, to all of it. */
  kill(): Promise<void>
  /** SIGSTOP: it keeps its connections and answers nothing, until it is thawed. */
  freeze(): void
  thaw(): void
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

/** False if it is there; else why not, and what installs it. The runner fails for that in CI. */
export function skipWithout(name: string, path: string | undefined, of = name): string | false {
  return path === undefined && `${name} is not installed: apt-get install ${of}`
}

/** Where a program is: in the path, or in one of these folders. */
export function found(name: string, ...folders: string[]): string | undefined {
  const candidates = [...(process.env['PATH'] ?? '').split(':'), ...folders].map((folder) => join(folder, name))
  return candidates.find((path) => existsSync(path))
}

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0] as number
}

/** Ports that are free, and all different. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const probes = Array.from({ length: count }, () => createServer())
  for (const probe of probes) await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const ports = probes.map((probe) => (probe.address() as AddressInfo).port)
  for (const probe of probes) await new Promise((resolve) => probe.close(resolve))
  return ports
}

/**
 * A program as root may not run it (PostgreSQL), and its files: of the user `nobody`, unless this is somebody else already.
 */
export function asNobody(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const idOf = (flag: string) => Number(spawnSync('id', [flag, 'nobody'], { encoding: 'utf8' }).stdout)
  return { uid: idOf('-u'), gid: idOf('-g') }
}

// The shell ends the server when its input is closed, as it is when this process ends, however that happens; and ends with it.
const GUARD =
  'exec 3<&0; "$@" 3<&- & server=$!; echo "pid $server"; { read _ <&3; kill -9 $server; } 2>/dev/null & wait $server; kill $! 2>/dev/null'

/**
 * Where servers keep their data: in memory where there is room, because a slow disk makes a server silent for seconds. What a server has
 * written outlives its process there too.
 */
function dataFolder(): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm')
    if (bavail * bsize > 2 ** 30) return '/dev/shm'
  } catch {
    // Not Linux.
  }
  return tmpdir()
}

/** Starts a server, on a port that the members of a cluster have agreed on before, or on a free one. */
export async function serve(program: Program, user?: { uid: number; gid: number }, agreed?: number): Promise<Server> {
  const folder = mkdtempSync(join(dataFolder(), 'calloff-server-'))
  if (user) spawnSync('chown', [`${user.uid}:${user.gid}`, folder])
  const port = agreed ?? (await freePort())
  let running: ChildProcess | undefined
  let said = ''
  let pid = 0

  const kill = async () => {
    const guard = running
    running = undefined
    if (!guard || guard.exitCode !== null) return
    const ended = new Promise((resolve) => guard.once('close', resolve))
    guard.stdin?.end()
    await ended
  }
  const launch = () => {
    said = ''
    pid = 0
    const guard = spawn('sh', ['-c', GUARD, 'sh', program.command, ...program.arguments(port, folder)], {
      cwd: folder,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...user,
    })
    guard.stdin.on('error', () => {})
    const hear = (text: string) => {
      // The guard speaks first.
      pid ||= Number(/^pid (\d+)$/m.exec(text)?.[1] ?? 0)
      said = (said + text).slice(-4_000)
    }
    guard.stdout.setEncoding('utf8').on('data', hear)
    guard.stderr.setEncoding('utf8').on('data', hear)
    return guard
  }
  const start = async () => {
    for (let i = 0; i < 600; i++) {
      // What is left of one that was killed can keep the next one from starting, for a moment.
      if (!running || running.exitCode !== null) running = launch()
      await pause(50)
      if (running.exitCode === null && (await program.answers(port))) return
    }
    await kill()
    throw new Error(`${program.command} did not start:\n${said}`)
  }
  const send = (signal: NodeJS.Signals) => {
    if (running?.exitCode === null && pid > 0) process.kill(pid, signal)
  }
  program.prepare?.(folder)
  await start()
  return {
    port,
    kill,
    freeze: () => send('SIGSTOP'),
    thaw: () => send('SIGCONT'),
    start,
    async end() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
