// The results as text.

/** Figures with as many digits as they deserve. @param {number} value */
export function short(value) {
  if (value >= 10_000) return `${(value / 1_000).toFixed(value < 100_000 ? 1 : 0)}k`
  if (value >= 10) return String(Math.round(value))
  return value.toFixed(Math.abs(value) < 0.1 ? 3 : 2)
}

const byValue = (a, b) => (a.value ?? Infinity) - (b.value ?? Infinity)

function table(head, rows) {
  const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => row[at].length)))
  const line = (row) => row.map((cell, at) => (at ? cell.padStart(widths[at]) : cell.padEnd(widths[at]))).join('  ')
  return [head, ...rows].map((row) => `  ${line(row).trimEnd()}`).join('\n')
}

function summary(name, { title, unit, references, tail: hasTail, rows }) {
  const used = references.filter((reference) => rows.some((row) => row.ratios?.[reference] !== undefined))
  const grows = rows.some((row) => row.growth !== undefined)
  const head = ['', unit, 'middle half', ...(hasTail ? ['99 %'] : []), ...used.map((one) => `× ${one}`)].concat(
    grows ? ['10 × as many'] : [],
  )
  const cells = (row) => {
    const { peer, value, low, high, tail, samples, ratios, growth, note = '' } = row
    const ratio = (one) => (ratios?.[one] === undefined ? '' : short(ratios[one]))
    const middle = value === undefined || samples === 1 ? '' : `${short(low)}–${short(high)}`
    const start = [peer, value === undefined ? note : short(value), middle]
      .concat(hasTail ? [tail === undefined ? '' : short(tail)] : [])
      .concat(used.map(ratio))
    return grows ? start.concat(growth === undefined ? '' : `× ${short(growth)}`) : start
  }
  const body = rows.toSorted(byValue).map(cells)
  return `${name}: ${title}\n${table(head, body)}\n`
}

function targetTable(targets) {
  const verdict = (met) => (met === undefined ? 'not measured' : met ? 'met' : 'NOT MET')
  const body = targets.map(({ work, target, measured, met }) => [work, target, measured, verdict(met)])
  return `targets\n${table(['work', 'target', 'measured', ''], body)}\n`
}

/** Prints all of a run. */
export function print(results) {
  const { runtime, machine, date, mode, seconds } = results
  console.log(`\n${runtime.key} ${runtime.version}, ${machine.cpu}, ${machine.cores} cores, ${machine.memory}, ${date}`)
  console.log(`${mode === 'quick' ? 'A quick run: too short to quote. ' : ''}${seconds} s\n`)
  for (const [name, one] of Object.entries(results.tables)) console.log(summary(name, one))
  const fires = Object.entries(results.verified).filter(([, { firesInLoop }]) => firesInLoop !== undefined)
  if (fires.length > 0) {
    const those = fires.filter(([, one]) => one.firesInLoop).map(([name]) => name)
    console.log(`a timeout fires in a loop that never yields: ${those.join(', ') || 'none'} (of ${fires.length})\n`)
  }
  for (const [name, { absent }] of Object.entries(results.verified)) {
    if (absent) console.log(`left out: ${name}: ${absent}\n`)
  }
  console.log(targetTable(results.targets))
}
