/** Real process trees, told apart by a mark in their command lines. */
import { execFileSync } from 'node:child_process'
import process from 'node:process'

let count = 0

/** A time to sleep that no other test has: an hour, and a fraction that says whose it is. */
export function longTime(): string {
  return `3600.${process.pid}${String(++count).padStart(4, '0')}`
}

interface Row {
  readonly pid: number
  readonly args: string
}

/** All processes, zombies left out. */
function rows(): readonly Row[] {
  const text = execFileSync('ps', ['-A', '-o', 'pid=,stat=,args='], { encoding: 'utf8', maxBuffer: 2 ** 26 })
  return [...text.matchAll(/^ *(\d+) +([^Z\s]\S*) +(.*)$/gm)].map(([, pid, , args = '']) => ({
    pid: Number(pid),
    args,
  }))
}

/** The processes that have the text in their command line. */
export function alive(text: string): readonly number[] {
  return rows().flatMap(({ pid, args }) => (args.includes(text) ? pid : []))
}

/** How many `sleep`s of that time there are. */
export function sleeping(time: string): number {
  // Deno starts programs by their full path.
  return rows().filter(({ args }) => args.replace(/^\/\S*\//, '') === `sleep ${time}`).length
}

/** Waits until there are so many. */
export async function sleepers(time: string, wanted: number): Promise<void> {
  await until(() => sleeping(time) >= wanted, `${wanted} sleeping ${time}`)
}

/** Looks again and again; fails after two minutes. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  for (const began = performance.now(); !isSo();) {
    if (performance.now() - began > 120_000) throw new Error(`it never came to this: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Ends what a failed test has left. */
export function clear(text: string): void {
  for (const pid of alive(text)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // gone meanwhile
    }
  }
}
