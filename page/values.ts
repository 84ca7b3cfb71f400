/** What the API of docs/reference/http.md sends, and texts for it. */
import { formatDuration } from '../src/cli/terminal/duration.js'
import { visible } from '../src/cli/terminal/visible.js'

export interface Mark {
  readonly kind: string
  readonly text: string
  readonly who: { readonly host: string; readonly pid: number; readonly token: string | null }
  readonly at: string
}

export interface Holder {
  readonly host: string
  readonly pid: number
  readonly role: string
  readonly state: 'open' | 'acknowledged' | 'finished'
  readonly since: string
  readonly silent: boolean
}

export interface Topic {
  readonly name: string
  readonly runId: string
}

export interface Listing extends Topic {
  readonly state: 'live' | 'cancelled'
  readonly mark: Mark | null
  readonly holders: readonly Holder[]
  readonly lease: { readonly fence: number; readonly held: boolean } | null
}

export interface Receipt extends Topic {
  readonly delivered: boolean
  readonly complete: boolean
  readonly mark: Mark
  readonly holders: number
  readonly acknowledged: number
  readonly finished: number
  readonly waiting: readonly Holder[]
}

/** Returns what was typed into a field of a form, without spaces around it. */
export function fieldOf(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name)
  return typeof value === 'string' ? value.trim() : ''
}

/** Identifies one use of a name. */
export function keyOf({ name, runId }: Topic): string {
  return JSON.stringify([name, runId])
}

/** Returns the name and its run id. Control characters and overrides of the writing direction can be seen in it. */
export function titleOf({ name, runId }: Topic): string {
  return visible(runId === '' ? name : `${name} (run ${runId})`)
}

/** `process 4711 on build-7` */
export function processText({ host, pid }: { readonly host: string; readonly pid: number }): string {
  return `process ${pid} on ${visible(host)}`
}

/** `by process 4711 on build-7 (timeout): wrong branch` */
export function markText({ who, kind, text }: Mark): string {
  return `by ${processText(who)}${kind === 'manual' ? '' : ` (${visible(kind)})`}${text === '' ? '' : `: ${visible(text)}`}`
}

/** `wrong branch, by build-7:4711`: what is most important comes first, since the end may be cut off. */
export function briefMark({ who, kind, text }: Mark): string {
  const why = [...(kind === 'manual' ? [] : [kind]), ...(text === '' ? [] : [text])].join(': ')
  return visible(`${why}${why === '' ? '' : ', '}by ${who.host}:${who.pid}`)
}

/** Returns a time span for people, in whole seconds: `40s`, `2h5m`. */
export function spanText(ms: number): string {
  return formatDuration(Math.max(0, Math.floor(ms / 1_000) * 1_000))
}

/** `1 holder`, `2 holders` */
export function count(number: number, what: string): string {
  return `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`
}
