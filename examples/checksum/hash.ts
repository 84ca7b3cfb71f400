import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { CancellationToken } from 'calloff'

/** The SHA-256 of a file, read in pieces. Rejects as soon as the token is cancelled, and closes the file. */
export async function hashFile(path: string, token: CancellationToken, onBytes: (n: number) => void): Promise<string> {
  const hash = createHash('sha256')
  const pieces: AsyncIterable<Buffer> = createReadStream(path, { signal: token.signal, highWaterMark: 256 * 1024 })
  for await (const piece of pieces) {
    hash.update(piece)
    onBytes(piece.length)
  }
  return hash.digest('hex')
}
