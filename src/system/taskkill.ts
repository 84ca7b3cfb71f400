import { win32 } from 'node:path'

/** A program with its arguments. */
export interface CommandLine {
  readonly command: string
  readonly args: readonly string[]
}

/**
 * Returns the command line that ends a process and all its descendants on Windows. It ends them at once, since a
 * program there cannot be asked to end: without `/F`, `taskkill` closes windows, and most programs have none.
 *
 * The program has its full path, because Windows searches the current folder first.
 */
export function taskkill(pid: number, env: Readonly<Record<string, string | undefined>>): CommandLine {
  const folder = [env['SystemRoot'], env['windir']].find((one) => one !== undefined && /^[a-z]:[\\/]/i.test(one))
  return {
    command: win32.join(folder ?? 'C:\\Windows', 'System32', 'taskkill.exe'),
    args: ['/PID', String(pid), '/T', '/F'],
  }
}
