import { readFileSync } from 'node:fs'
import { isatty } from 'node:tty'

/** Whether this process is in the foreground of a terminal, so that Ctrl+C reaches it and the other processes there. */
export function hasTerminal(): boolean {
  try {
    // The process group, and the foreground group of the terminal: the 5th and the 8th field. Fields are counted after
    // the name, because it may contain blanks.
    const fields = readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1)?.split(' ')
    return fields !== undefined && fields[2] === fields[5]
  } catch {
    return [0, 1, 2].some((descriptor) => isatty(descriptor))
  }
}
