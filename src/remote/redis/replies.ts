/** Translates replies of Redis for the hub. */
import type { Failure } from '../adapter/failures.js'
import { holderReportOf, topicStateOf } from '../adapter/stored-fields.js'
import type { HolderReport, Topic, TopicReport, TopicState } from '../contract/engine.js'

/** Error codes of Redis: the server refuses the request, or another server is responsible now. */
const REFUSES_US = new Set(['WRONGPASS', 'NOAUTH', 'NOPERM'])
/** Messages of commands in a script before Redis 7.2, which have no error code. */
const REFUSES_SCRIPT = /The user executing the script can't (run|access) /
const TRANSIENT = new Set(['ASK', 'TRYAGAIN', 'CLUSTERDOWN'])
const GONE = new Set('ASK TRYAGAIN READONLY LOADING MASTERDOWN CLUSTERDOWN MOVED NOREPLICAS BUSY UNKILLABLE'.split(' '))

/**
 * Returns the error code of a server error, which is its first code, in capitals. Returns undefined for an error of a client or a connection.
 * Before Redis 7 the error of a command in a script is at the end of a sentence about the script.
 */
function codeOf(error: Error): string | undefined {
  const text = textOf(error)
  const inScript = /^ERR Error running script .*@user_script: ?\d+: -?([A-Z]{2,}) /.exec(text)
  return (inScript ?? /^-?([A-Z]{2,}) /.exec(text))?.[1]
}

/** Returns the message of the server, which a client may have wrapped in its own error. */
export function textOf(error: Error): string {
  const { message, cause } = error
  return cause instanceof Error && cause.message !== '' && !/^-?[A-Z]{2,} /.test(message) ? cause.message : message
}

export function classify(error: Error): Failure {
  const code = codeOf(error)
  if (REFUSES_SCRIPT.test(textOf(error)) || (code !== undefined && REFUSES_US.has(code))) return 'auth'
  // Otherwise another connection is needed: this server has become a replica, or is loading its data, …
  return code !== undefined && !GONE.has(code) ? 'refused' : 'gone'
}

/**
 * Whether the same connection may succeed a moment later: the data is moving to another node, or a node of the cluster is lost and the
 * client will find its successor.
 */
export function mayPass(error: Error): boolean {
  const code = codeOf(error)
  return code === undefined || TRANSIENT.has(code)
}

/** Returns the policy by which a server evicts keys, from its report about memory; undefined if it does not evict or does not report. */
export function evictionOf(memory: string): string | undefined {
  const fieldOf = (name: string) => new RegExp(`^${name}:(\\S+)`, 'm').exec(memory)?.[1]
  const policy = fieldOf('maxmemory_policy')
  return policy === 'noeviction' || Number(fieldOf('maxmemory') ?? 0) === 0 ? undefined : policy
}

export function topicOfKey(key: string): Topic {
  const end = key.indexOf('\0')
  return { name: key.slice(0, end), runId: key.slice(end + 1) }
}

/** Reads the state of a topic from the five texts of a script. */
export function stateOf(fields: readonly string[]): TopicState {
  const [key = '', mark, ...lease] = fields
  return topicStateOf(topicOfKey(key), [mark || null, ...lease])
}

const STATE = 5
const HOLDER = 8

/** Reads a topic and its holders. */
export function reportOf(fields: readonly string[]): TopicReport {
  const holders: HolderReport[] = []
  for (let i = STATE; i < fields.length; i += HOLDER) {
    holders.push(holderReportOf(fields.slice(i, i + HOLDER)))
  }
  return { ...stateOf(fields), holders }
}
