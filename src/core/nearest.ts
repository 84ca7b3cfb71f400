/**
 * Finds the known word that a mistyped word stands for: a command or an option of the command line, or an option of a
 * function.
 */

/** Returns the known word with the fewest letters to change, or undefined if too many would have to change. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const one of known) {
    const count = word.length > 2 && one.startsWith(word) ? 1 : changes(word, one)
    if (count < least) [best, least] = [one, count]
  }
  return best
}

/** Returns how many letters must be added, removed, replaced or swapped with their neighbour. */
function changes(from: string, to: string): number {
  let before: number[] = []
  let row = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const cost = from[i - 1] === to[j - 1] ? 0 : 1
      let least = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + cost)
      const isSwap = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      if (isSwap) least = Math.min(least, (before[j - 2] as number) + 1)
      next.push(least)
    }
    ;[before, row] = [row, next]
  }
  return row[to.length] as number
}
