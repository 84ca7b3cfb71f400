/**
 * Client and server prove that they have the key, without sending it. Each sends a nonce of 32 random bytes, and then an HMAC-SHA-256
 * over both nonces and all agreed values.
 *
 * The signed text contains the role, so a proof cannot be sent back as the answer to its own challenge (reflection). A nonce is never
 * used twice, so an old proof is worthless (replay). Without a key both sides use an empty key, so a side with a key never accepts a
 * side without one.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

/** The values that both proofs sign. */
export interface Agreed {
  /** The versions that the client offered, so that an attacker in between cannot force an older version. */
  readonly least: number
  readonly most: number
  /** The version that the server chose. */
  readonly version: number
  readonly clientNonce: Uint8Array
  readonly serverNonce: Uint8Array
  /** The session id that the client sent. */
  readonly session: string
}

const encoder = new TextEncoder()

export function proofOf(role: 'client' | 'server', key: Uint8Array, agreed: Agreed): Uint8Array {
  const { least, most, version, clientNonce, serverNonce, session } = agreed
  // Every part except the last has a fixed length, so different lists of parts give different texts.
  return createHmac('sha256', key)
    .update(`calloff ${role}`.padEnd(16, '\0'))
    .update(Uint8Array.of(least, most, version))
    .update(clientNonce)
    .update(serverNonce)
    .update(session, 'utf8')
    .digest()
}

/** Checks a proof in constant time. */
export function isProof(role: 'client' | 'server', key: Uint8Array, agreed: Agreed, given: Uint8Array): boolean {
  const right = proofOf(role, key, agreed)
  return given.length === right.length && timingSafeEqual(given, right)
}

/** The minimum length of a key in bytes: 128 bits, if they are random. */
const LEAST_KEY = 16

/** Returns the bytes of a key; empty without a key. */
export function keyOf(key: unknown): Uint8Array {
  if (key === undefined) return new Uint8Array()
  const bytes = typeof key === 'string' ? encoder.encode(key) : key
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`key must be text or a Uint8Array, got a ${typeof key}`)
  // A message never contains the key.
  if (bytes.length < LEAST_KEY) throw new RangeError(`key must have at least ${LEAST_KEY} bytes, got ${bytes.length}`)
  return bytes
}
