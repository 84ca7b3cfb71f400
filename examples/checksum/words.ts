/** `ENOENT: no such file or directory, open 'x'` → `no such file or directory` */
export function wordsOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replace(/^[A-Z]+: /, '').replace(/, \w+( '.*')?$/s, '')
}

/** A path as it may be shown in a terminal: control characters, which may be in any file name, would move the cursor. */
export function printable(path: string): string {
  return path.replaceAll(/\p{Cc}/gu, '?')
}
