/** What Redis answers, as what the hub understands. */
import { HubError } from '../errors.js'
import { markOfText } from '../stored.js'
import type { HolderReport, Topic, TopicReport, TopicState } from '../engine.js'
import { holderReport, leaseRecord } from '../records.js'

/** The server is there and refuses, or is not the one to ask any more: the first words of what it says then. */
const REFUSES_US = /^(WRONGPASS|NOAUTH|NOPERM)\b/
const GONE = /^(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|MOVED|ASK|TRYAGAIN)\b/

/** What went wrong, in the words of the hub. */
export function errorOf(place: string, cause: Error): HubError {
  if (cause instanceof HubError) return cause
  const text = `${place}: ${cause.message}`
  if (REFUSES_US.test(cause.message)) return new HubError('ERR_HUB_AUTH', text, { cause })
  // What the server itself says begins with a word in capitals; the rest is about the connection.
  if (/^[A-Z]{2,} /.test(cause.message) && !isGone(cause)) return new HubError('ERR_HUB_REFUSED', text, { cause })
  return new HubError('ERR_HUB_UNREACHABLE', text, { cause })
}

/** Whether a connection to somewhere else is needed: this server has become a replica, is only just loading its data, … */
export function isGone({ message }: Error): boolean {
  return GONE.test(message)
}

export function topicOfKey(key: string): Topic {
  const end = key.indexOf('\0')
  return { name: key.slice(0, end), run: key.slice(end + 1) }
}

/** How a topic stands: five texts, as the scripts give them. */
export function stateOf(fields: readonly string[]): TopicState {
  const [key = '', mark = '', fence = '', left = '', lost = ''] = fields
  const lease = fence ? leaseRecord({ fence, left, lost }) : undefined
  return { topic: topicOfKey(key), mark: mark ? markOfText(mark) : undefined, lease }
}

const STATE = 5
const HOLDER = 8

/** A topic with its holders. */
export function reportOf(fields: readonly string[]): TopicReport {
  const holders: HolderReport[] = []
  for (let i = STATE; i < fields.length; i += HOLDER) {
    const [session, host, pid, silent, id, state, role, since] = fields.slice(i, i + HOLDER)
    holders.push(holderReport({ session, host, pid, silent: silent === '1', id, state, role, since }))
  }
  return { ...stateOf(fields), holders }
}
