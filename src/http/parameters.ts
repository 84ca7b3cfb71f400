/** The parameters in the query of a request. They come from a client, so each is checked, and an unknown one is refused. */
import { shown } from '../core/arguments.js'
import { nearest } from '../core/nearest.js'
import { prefixOf, topicOf } from '../remote/contract/topic.js'
import type { Topic } from '../remote/contract/engine.js'
import { Problem } from './problem.js'

export type Parameters = ReadonlyMap<string, string>

/** Reads the query. Throws a `Problem` for an unknown parameter: a misspelt `runId` would otherwise lead to another run. */
export function parametersOf(url: URL, known: readonly string[]): Parameters {
  const parameters = new Map<string, string>()
  checkEscapes(url.search)
  for (const [name, value] of url.searchParams) {
    if (parameters.has(name)) throw new Problem('bad-request', `the parameter ${shown(name)} is given twice`)
    if (!known.includes(name)) throw unknownParameter(name, known)
    parameters.set(name, value)
  }
  return parameters
}

/** Throws a `Problem` for a query that is not UTF-8. `URL` would repair it, and two names could become one. */
function checkEscapes(query: string): void {
  try {
    decodeURIComponent(query)
  } catch {
    throw new Problem('bad-request', 'the query has a % without two hexadecimal digits after it, or is not UTF-8')
  }
}

function unknownParameter(name: string, known: readonly string[]): Problem {
  const meant = nearest(name, known)
  const others = known.length === 0 ? 'none is known here' : `only ${known.map(shown).join(', ')}`
  const advice = meant === undefined ? others : `did you mean ${shown(meant)}?`
  return new Problem('bad-request', `there is no parameter ${shown(name.slice(0, 100))}, ${advice}`)
}

/** Calls a check of an argument; what it throws becomes a refusal with the same words. */
export function checked<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    throw new Problem('bad-request', (error as Error).message)
  }
}

/** Returns the name and the run in the query. Throws a `Problem` if the name is missing, or one of them is wrong. */
export function topicIn(parameters: Parameters): Topic {
  const name = parameters.get('name')
  if (name === undefined) throw new Problem('bad-request', 'the parameter "name" is missing')
  return checked(() => topicOf(name, parameters.get('runId')))
}

/** Returns the prefix in the query; `''` if it is absent. Throws a `Problem` for one that no name can have. */
export function prefixIn(parameters: Parameters): string {
  return checked(() => prefixOf(parameters.get('prefix') ?? ''))
}

/** Returns a whole number from `least` to `most`; `otherwise` if it is absent. Throws a `Problem` for anything else. */
export function numberIn(parameters: Parameters, name: string, least: number, most: number, otherwise: number): number {
  const text = parameters.get(name)
  if (text === undefined) return otherwise
  return numberFrom(name, /^\d{1,15}$/.test(text) ? Number(text) : text, least, most)
}

/** Returns the value if it is a whole number from `least` to `most`. Throws a `Problem` otherwise. */
export function numberFrom(name: string, value: unknown, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new Problem(
    'bad-request',
    `${name} must be a whole number from ${least} to ${most}, got ${shown(typeof value === 'string' ? value.slice(0, 100) : value)}`,
  )
}
