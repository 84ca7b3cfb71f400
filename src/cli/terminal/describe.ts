/** Describes which process cancelled a name, and why. */
import { inspect } from 'node:util'
import type { Holder, Mark, Who } from '../../remote/index.js'
import { visible, visibleJson } from './visible.js'

/** Returns a reason on one line, or the empty text if there is none. */
export function reasonText(reason: unknown): string {
  if (reason === undefined || reason === null) return ''
  if (typeof reason === 'string') return visible(reason)
  if (reason instanceof Error) return visible(reason.message)
  return visible(inspect(reason, { breakLength: Infinity, depth: 2, compact: true }))
}

/** `by process 4711 on build-7` */
export function byWhom({ host, pid }: Pick<Who, 'host' | 'pid'>): string {
  return `by process ${pid} on ${visible(host)}`
}

/** `by process 4711 on build-7: wrong branch` */
export function markText({ who, reason, kind }: Mark): string {
  const why = reasonText(reason)
  return `${byWhom(who)}${kind === 'manual' ? '' : ` (${kind})`}${why && `: ${why}`}`
}

/** `process 4711 on build-7` */
export function holderText({ host, pid, silent }: Holder): string {
  return `process ${pid} on ${visible(host)}${silent ? ' (silent for a while)' : ''}`
}

/** `1 holder`, `2 holders` */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

/** Returns a mark or a listing as JSON, safe for a terminal. Dates become ISO text, an error becomes its message. */
export function toJson(value: unknown): string {
  const json = JSON.stringify(value, (_key, one: unknown) =>
    one instanceof Error ? one.message : typeof one === 'bigint' ? `${one}` : one,
  )
  return visibleJson(json)
}
