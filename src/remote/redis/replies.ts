/** What Redis answers, as what the hub understands. */
import type { Failure } from '../adapter/failures.js'
import { holderReportOf, topicStateOf } from '../adapter/stored-fields.js'
import type { HolderReport, Topic, TopicReport, TopicState } from '../contract/engine.js'

/** The server is there and refuses, or is not the one to ask any more: the words that say so. */
const REFUSES_US = new Set(['WRONGPASS', 'NOAUTH', 'NOPERM'])
/** What a command in a script is told, before Redis 7.2: without a word of its own. */
const REFUSES_SCRIPT = /The user executing the script can't (run|access) /
const PASSES = new Set(['ASK', 'TRYAGAIN', 'CLUSTERDOWN'])
const GONE = new Set('ASK TRYAGAIN READONLY LOADING MASTERDOWN CLUSTERDOWN MOVED NOREPLICAS BUSY UNKILLABLE'.split(' '))

/**
 * What a server says begins with a word in capitals; undefined for what a client or a connection says. Before Redis 7, what a
 * command in a script says stands at the end of a sentence about the script.
 */
function wordOf(error: Error): string | undefined {
  const text = textOf(error)
  const inScript = /^ERR Error running script .*@user_script: ?\d+: -?([A-Z]{2,}) /.exec(text)
  return (inScript ?? /^-?([A-Z]{2,}) /.exec(text))?.[1]
}

/** What the server says: a client may have put its own sentence over it. */
export function textOf(error: Error): string {
  const { message, cause } = error
  return cause instanceof Error && cause.message !== '' && !/^-?[A-Z]{2,} /.test(message) ? cause.message : message
}

export function classify(error: Error): Failure {
  const word = wordOf(error)
  if (REFUSES_SCRIPT.test(textOf(error)) || (word !== undefined && REFUSES_US.has(word))) return 'auth'
  // Otherwise another connection is needed: this server has become a replica, is only just loading its data, …
  return word !== undefined && !GONE.has(word) ? 'refused' : 'gone'
}

/**
 * Whether the same connection may do a moment later: the data is on its way to another node, or a node of a cluster is lost, whose
 * client lives on and finds the one that takes over.
 */
export function mayPass(error: Error): boolean {
  const word = wordOf(error)
  return word === undefined || PASSES.has(word)
}

/** By which policy a server evicts what it has stored, as it says about its memory; undefined if it does not, or does not say. */
export function evictionOf(memory: string): string | undefined {
  const fieldOf = (name: string) => new RegExp(`^${name}:(\\S+)`, 'm').exec(memory)?.[1]
  const policy = fieldOf('maxmemory_policy')
  return policy === 'noeviction' || Number(fieldOf('maxmemory') ?? 0) === 0 ? undefined : policy
}

export function topicOfKey(key: string): Topic {
  const end = key.indexOf('\0')
  return { name: key.slice(0, end), runId: key.slice(end + 1) }
}

/** How a topic stands: five texts, as the scripts give them. */
export function stateOf(fields: readonly string[]): TopicState {
  const [key = '', mark, ...lease] = fields
  return topicStateOf(topicOfKey(key), [mark || null, ...lease])
}

const STATE = 5
const HOLDER = 8

/** A topic with its holders. */
export function reportOf(fields: readonly string[]): TopicReport {
  const holders: HolderReport[] = []
  for (let i = STATE; i < fields.length; i += HOLDER) {
    holders.push(holderReportOf(fields.slice(i, i + HOLDER)))
  }
  return { ...stateOf(fields), holders }
}
