/** The text of a token, which is the call that makes it, and the tree that `console.log` prints. */
import { KINDS_BY_CALL } from './errors.js'
import type { TokenNode } from './graph.js'
import { each, errorOf } from './graph.js'

/** The description of a token by its kind. */
export interface Form {
  /** The call: `TimeoutToken`. */
  readonly call: string
  /** Whether it is a method of its source: `SimpleToken().grace(100)`. */
  readonly method?: boolean
  /** Its own arguments, as text. */
  readonly own?: readonly string[]
  /** Whether its name is among its own arguments. */
  readonly named?: boolean
  /** Whether it only passes on its one source, and has the text of that source. */
  readonly through?: boolean
  /** Its options. An option that has its default is undefined. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Milliseconds until its own deadline. */
  readonly ms?: number | undefined
  /** How many polls its own counters have left. */
  readonly polls?: readonly number[] | undefined
}

/** A node that can describe itself. */
export interface Described extends TokenNode {
  readonly name: string | undefined
  form(): Form
}

/** Returns a text as a string literal. */
export const quoted = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`

function nameOf(fn: { readonly name: unknown }): string {
  try {
    return typeof fn.name === 'string' ? fn.name : ''
  } catch {
    return '' // a proxy that throws
  }
}

/** Returns the name of a function, or λ if it has none. */
export const functionText = (fn: { readonly name: unknown }): string => nameOf(fn) || 'λ'

/**
 * Returns the name of a class of the user. For a class of calloff it returns the literal, because bundlers rename
 * classes.
 */
export const classText = ({ constructor }: object, own: unknown, literal: string): string =>
  (constructor !== own && nameOf(constructor)) || literal

const valueText = (value: unknown): string =>
  typeof value === 'string' ? quoted(value) : typeof value === 'function' ? functionText(value) : String(value)

/** Returns the time and the polls that a rule has left. */
export const leftText = ({ ms, polls = [] }: Form): string =>
  (ms === undefined ? polls : [`${Math.max(0, Math.ceil(ms))} ms`, ...polls]).map((left) => `${left} left`).join(', ')

/** Returns the node's own arguments and options, without its sources. */
function ownText(node: Described, form: Form): string[] {
  const { outcome } = node
  const options: Record<string, unknown> = {
    ...form.options,
    name: form.named ? undefined : node.name,
    // Only where a call has cancelled it: a rule is in the text already.
    cancelled: (outcome?.origin === node && outcome.kind in KINDS_BY_CALL) || undefined,
  }
  const pairs = Object.keys(options).filter((key) => options[key] !== undefined)
  const text = pairs.map((key) => `${key}: ${valueText(options[key])}`).join(', ')
  return [...(form.own ?? []), ...(text ? [`{ ${text} }`] : [])]
}

/** Returns the name of a token, or without one its call: `TimeoutToken(5000)`. */
export function labelOf(node: Described): string {
  const { call, own = [] } = node.form()
  return node.name ?? `${call}(${own.join(', ')})`
}

/** Returns the call of a node without its sources: `TimeoutToken(5000, { name: 'query' })`. */
export const callOf = (node: Described, form: Form): string => `${form.call}(${ownText(node, form).join(', ')})`

/** The sources that the text shows. An `except` has the ancestors of its source among its sources. */
export function shownSources({ sources }: TokenNode, { method }: Form): TokenNode[] {
  const shown: TokenNode[] = []
  each(sources, (source) => {
    if (!method || !shown.length) shown.push(source)
  })
  return shown
}

/**
 * The most pieces of a text. A token that is reached in several ways stands in the text several times, so a ladder of
 * diamonds would fill the memory.
 */
const MOST_PIECES = 5_000_000

/** Returns the text of a node: `SimpleToken(TimeoutToken(5000), ConditionToken(λ))`. */
export function textOf(top: TokenNode): string {
  const pieces: string[] = []
  // The nodes that are still to be written, and the text between them. The next one is the last in the array.
  for (let rest: (TokenNode | string)[] = [top], at; (at = rest.pop()) !== undefined;) {
    if (pieces.length > MOST_PIECES) return `${pieces.join('')}…`
    if (typeof at === 'string') {
      pieces.push(at)
      continue
    }
    const form = (at as Described).form()
    if (form.through && at.sources) {
      rest.push(at.sources as TokenNode)
      continue
    }
    const own = ownText(at as Described, form)
    const parts: (TokenNode | string)[] = form.method ? [] : own
    for (const source of shownSources(at, form)) parts.push(source)
    rest.push(form.method ? `.${form.call}(${own.join(', ')})` : ')')
    for (let i = parts.length - 1; i >= 0; i--) {
      rest.push(parts[i] as TokenNode | string)
      if (i > 0) rest.push(', ')
    }
    if (!form.method) rest.push(`${form.call}(`)
  }
  return pieces.join('')
}

const MOST_LINES = 100
const DEEPEST = 20

/** Returns the tree: one line for each token, with what it has left, and which of them started the cancellation. */
export function treeOf(top: TokenNode): string {
  const lines: string[] = []
  draw(top as Described, '', '')
  return lines.join('\n')

  // The depth is limited, so this may call itself.
  function draw(node: Described, first: string, rest: string): void {
    if (lines.length >= MOST_LINES) return
    if (lines.length === MOST_LINES - 1) return void lines.push(`${first}…`)
    const form = node.form()
    const { outcome } = node
    const state = !outcome
      ? leftText(form)
      : outcome.origin === node || node === top
        ? `cancelled: ${errorOf(outcome).message}`
        : 'cancelled'
    lines.push(`${first}${callOf(node, form)}${state ? ` ${state}` : ''}`)
    const sources = shownSources(node, form)
    if (sources.length > 0 && rest.length >= DEEPEST * 3) return void lines.push(`${rest}└─ …`)
    sources.forEach((source, i) => {
      const last = i === sources.length - 1
      draw(source as Described, `${rest}${last ? '└─ ' : '├─ '}`, `${rest}${last ? '   ' : '│  '}`)
    })
  }
}
