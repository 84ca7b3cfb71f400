/** Times, counts and sizes, as people write and read them. */

const milliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** `'1m30s'` → 90000. Throws a `RangeError` that names the option. */
export function parseDuration(option: string, text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|[smh]))+$/.test(text)) {
    throw new RangeError(`${option} takes a duration such as 500ms, 2s or 1m30s, not "${text}"`)
  }
  let sum = 0
  for (const [, number, unit = ''] of text.matchAll(/([\d.]+)(ms|[smh])/g)) {
    sum += Number(number) * (milliseconds[unit] ?? 0)
  }
  return sum
}

/** `'1000'` → 1000. Throws a `RangeError` that names the option. */
export function parseCount(option: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new RangeError(`${option} takes a whole number such as 1000, not "${text}"`)
  return Number(text)
}

/** 1532 → `'1.5 s'` */
export function duration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  const minutes = Math.floor(ms / 60_000)
  return `${minutes} min ${Math.floor((ms % 60_000) / 1_000)} s`
}

/** 12345 → `'12,345'` */
export function count(n: number): string {
  return Math.round(n).toLocaleString('en')
}

/** 12345678 → `'12.3 MB'` */
export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const step = n < 1_000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(n) / 3))
  return `${(n / 1_000 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step]}`
}
