/**
 * How a token takes the place of the tokens of its name that are open: `hub.open(name, { replace: true })`.
 *
 * Invariants
 * RP1. Replacements of a topic take turns, by a lease of a name beside it. So each one meets the token of the one before as a holder.
 * RP2. The token enters when the tokens before have finished and their mark is forgotten. A cancel that is made after that reaches it.
 */
import { now } from '../../core/clock.js'
import type { Topic } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import type { Holder, LeaseOptions, Receipt } from '../contract/hub.js'
import type { LeaseToken } from '../contract/remote-token.js'

/** What a replacement needs of its hub. */
interface ReplacementSteps {
  /** Whether the new token is cancelled already: then nothing is left to wait for. */
  isOver(): boolean
  lease(name: string, options: LeaseOptions): Promise<LeaseToken>
  /** Cancels the tokens of the topic, and waits for them. */
  cancel(timeout: number): Promise<Receipt>
  /** Forgets the mark of the topic. */
  forget(): Promise<void>
  /** Makes the new token a holder. Resolves when it is ready. */
  enter(): Promise<void>
}

/** Milliseconds after which the turn of a process that has died is over. */
const TURN = 10_000

/** Resolves when the new token is ready. Rejects with `ERR_HUB_HELD` if the tokens before have not finished in time. */
export async function replace(topic: Topic, timeout: number, steps: ReplacementSteps): Promise<void> {
  const began = now()
  const left = () => Math.max(0, timeout - (now() - began))
  const options = { runId: runIdOfTurn(topic), ttl: TURN, timeout: left() }
  const turn = await steps.lease(topic.name, options).catch((error: unknown) => {
    if ((error as HubError).code !== 'ERR_LEASE_HELD') throw error
    throw held(topic, `was being replaced by another token for ${timeout} ms`, error)
  })
  try {
    if (!steps.isOver()) {
      const { delivered, waiting, complete } = await steps.cancel(left())
      if (!delivered) {
        throw new HubError(
          'ERR_HUB_UNREACHABLE',
          `${quoted(topic)} was not replaced: the cancel was not stored in ${timeout} ms`,
        )
      }
      if (waiting.length > 0) throw held(topic, `is still held after ${timeout} ms, by ${processesOf(waiting)}`)
      if (!complete) throw held(topic, `may still be held after ${timeout} ms: not all holders are known`)
    }
    if (turn.cancelled) {
      throw new HubError('ERR_HUB_UNREACHABLE', `${quoted(topic)} was not replaced: the connection was lost meanwhile`)
    }
    if (!steps.isOver()) await steps.forget()
    await steps.enter()
  } finally {
    turn.close()
  }
}

const quoted = ({ name }: Topic) => JSON.stringify(name)

function held(topic: Topic, what: string, cause?: unknown): HubError {
  return new HubError('ERR_HUB_HELD', `${quoted(topic)} ${what}`, { cause })
}

/** The most holders that a message names. */
const MOST = 3

function processesOf(holders: readonly Holder[]): string {
  const named = holders
    .slice(0, MOST)
    .map(({ host, pid, silent }) => `process ${pid} on ${host}${silent ? ' (silent)' : ''}`)
  if (holders.length > MOST) named.push(`${holders.length - MOST} more`)
  return named.join(', ')
}

/** The run of the lease by which replacements of a topic take turns. It is short however long the run of the topic is. */
function runIdOfTurn({ runId }: Topic): string {
  // FNV-1a. Two runs with the same number only wait for each other.
  let hash = 0x811c9dc5
  for (const character of runId) hash = Math.imul(hash ^ (character.codePointAt(0) as number), 0x01000193)
  return `calloff.replace${runId === '' ? '' : `.${(hash >>> 0).toString(36)}`}`
}
