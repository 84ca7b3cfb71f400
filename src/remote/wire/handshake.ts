/**
 * Both sides show that they have the key, without sending it: each sends a nonce of 32 random bytes, and proves itself with
 * HMAC-SHA-256 over both nonces and all that was agreed on.
 *
 * The role is part of what is signed, so that nobody's proof serves as the answer to his own challenge (reflection), and
 * nonces are never used twice, so that an old proof is worth nothing (replay). Without a key the same is done with an empty
 * one: so a side that has a key never gets along with one that has none.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

/** What both proofs are about. */
export interface Agreed {
  /** The versions that the client has offered, so that a stranger in between cannot talk both sides into an older one. */
  readonly least: number
  readonly most: number
  /** The version that the server has chosen. */
  readonly version: number
  readonly clientNonce: Uint8Array
  readonly serverNonce: Uint8Array
  /** Of the session, as the client has named it. */
  readonly session: string
}

const encoder = new TextEncoder()

export function proofOf(role: 'client' | 'server', key: Uint8Array, agreed: Agreed): Uint8Array {
  const { least, most, version, clientNonce, serverNonce, session } = agreed
  // Every part but the last has a fixed length, so no two lists of parts look the same.
  return createHmac('sha256', key)
    .update(`calloff ${role}`.padEnd(16, '\0'))
    .update(Uint8Array.of(least, most, version))
    .update(clientNonce)
    .update(serverNonce)
    .update(session, 'utf8')
    .digest()
}

/** Takes as long for a wrong proof as for a right one. */
export function isProof(role: 'client' | 'server', key: Uint8Array, agreed: Agreed, given: Uint8Array): boolean {
  const right = proofOf(role, key, agreed)
  return given.length === right.length && timingSafeEqual(given, right)
}

/** The least that a key may have: 128 bits, if they are random. */
const LEAST_KEY = 16

/** The bytes of a key that somebody gave; none if he gave none. */
export function keyOf(key: unknown): Uint8Array {
  if (key === undefined) return new Uint8Array()
  const bytes = typeof key === 'string' ? encoder.encode(key) : key
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`key must be text or a Uint8Array, got a ${typeof key}`)
  // Never the key itself in a message.
  if (bytes.length < LEAST_KEY) throw new RangeError(`key must have at least ${LEAST_KEY} bytes, got ${bytes.length}`)
  return bytes
}
