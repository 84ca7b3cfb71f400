/** @param {readonly number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** What so large a part of the values is not above. @param {readonly number[]} values @param {number} part */
export function percentile(values, part) {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.round((sorted.length - 1) * part)]
}

/** The quarter and the three-quarter mark: how far the middle half of the values lies apart. @param {readonly number[]} values */
export function quartiles(values) {
  return [percentile(values, 0.25), percentile(values, 0.75)]
}
