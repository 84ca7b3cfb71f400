/** How much a store may hold, and how much it holds. */
import type { MarkRecord, Topic } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'

/** The limits of the store. */
export interface StoreLimits {
  /** The number of topics with a mark or a lease. */
  readonly marks: number
  /** The number of holders of one session. */
  readonly names: number
  /** Bytes of memory, as `weight` estimates them. Default: no limit. */
  readonly bytes?: number
}

/** The sizes of records in bytes, a little more than measured, without their texts. */
export const weight = {
  topic: 500,
  holder: 450,
  mark: 400,
  lease: 500,
  /** The size of a text. Texts are stored once, and most of them are also keys. */
  character: 2,
}

export function weightOfMark({ reason, what, token, host }: MarkRecord): number {
  return weight.mark + weight.character * (reason.length + what.length + token.length + host.length)
}

export function weightOfLease(owner: string): number {
  return weight.lease + weight.character * owner.length
}

interface Weighed {
  readonly mark: MarkRecord | undefined
  readonly lease: { readonly owner: string } | undefined
}

/** The size of an entry without its holders. */
export function weightOf({ mark, lease }: Weighed): number {
  return (mark ? weightOfMark(mark) : 0) + (lease ? weightOfLease(lease.owner) : 0)
}

export function weightOfTopic({ name, runId }: Topic): number {
  return weight.topic + 2 * weight.character * (name.length + runId.length)
}

/** Open tokens may take at most this part of the memory, so that room is left for cancels. */
export const TOKENS = 3 / 4

/** Counts what the store holds. */
export class Capacity {
  readonly #limits: StoreLimits
  #marks = 0
  /** The size of the whole state, in bytes. */
  #bytes = 0

  constructor(limits: StoreLimits) {
    this.#limits = limits
  }

  /** Errors: `ERR_HUB_REFUSED` if that part of the memory has no room for `bytes`, or if there are too many marks and leases. */
  demand(bytes: number, marks: number, part = 1): void {
    const { bytes: all = Infinity, marks: mostMarks } = this.#limits
    const mostBytes = all * part
    if (this.#marks + marks > mostMarks) {
      throw new HubError('ERR_HUB_REFUSED', `the server has reached its limit of ${mostMarks} marks and leases`)
    }
    if (this.#bytes + bytes > mostBytes) {
      const most = Math.floor(mostBytes / 1_048_576)
      throw new HubError('ERR_HUB_REFUSED', `the server has reached its limit of ${most} MiB of stored data`)
    }
  }

  /** Adds to what is held. A negative number takes away. */
  add(bytes: number, marks = 0): void {
    this.#bytes += bytes
    this.#marks += marks
  }
}
