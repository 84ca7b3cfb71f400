/** Durations as people write them: `1h30m`, `500ms`, `1.5h`, `2d`. */

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['w', 604_800_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
]

const SCALE = new Map(UNITS)
const PART = /(\d+(?:\.\d+)?|\.\d+)\s*(ms|[wdhms])\s*/gy

/**
 * Returns milliseconds, or undefined if the text is not a duration. A number needs a unit. Only `0` may stand alone.
 */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim().toLowerCase()
  if (trimmed === '0') return 0
  let sum = 0
  let end = 0
  for (const [part, count, unit] of trimmed.matchAll(PART)) {
    sum += Number(count) * (SCALE.get(unit as string) as number)
    end += part.length
  }
  return end > 0 && end === trimmed.length ? sum : undefined
}

/** Returns the two largest units that are not zero: `1h30m`, `2d`, `500ms`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return 'forever'
  let left = Math.round(ms)
  const parts: string[] = []
  for (const [name, size] of UNITS) {
    const count = Math.floor(left / size)
    if (count > 0 && parts.length < 2) parts.push(`${count}${name}`)
    left -= count * size
  }
  return parts.join('') || '0s'
}

/** Returns an age for people: milliseconds below a second, whole seconds above. */
export function formatAge(ms: number): string {
  const age = Math.max(0, ms)
  return formatDuration(age < 1_000 ? age : Math.floor(age / 1_000) * 1_000)
}
