/** The cursor of a page of names: the key of its last name, as text that needs no escape in a URL. */
import { Problem } from './problem.js'

export function encodeCursor(key: string): string {
  const bytes = new TextEncoder().encode(key)
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** Returns the key; undefined without a cursor. Throws a `Problem` for text that `encodeCursor` has not made. */
export function decodeCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  try {
    const bytes = Uint8Array.from(atob(cursor.replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0))
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Problem('bad-request', 'after must be the "next" of an earlier page')
  }
}
