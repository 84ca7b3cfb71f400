// From the samples of many processes to one row for each peer, and the file they are kept in.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { median, percentile, quartiles } from '../measure/statistics.mjs'

export const folder = fileURLToPath(new URL('../', import.meta.url))

/**
 * @typedef {object} Row
 * @property {string} peer
 * @property {number} [value] The median.
 * @property {number} [low] The first quartile.
 * @property {number} [high] The third.
 * @property {number} [tail] The 99th percentile, where it is of interest.
 * @property {number} [samples] How many.
 * @property {Record<string, number>} [ratios] To each reference: the median of what was measured in the same turn.
 * @property {number} [growth] Time for each one at ten times the number, over that at the number.
 * @property {number} [count] How many operations, where they were measured as a whole.
 * @property {string} [note] Why there is no value.
 */

/** @typedef {{ group: string, title: string, unit: string, references: readonly string[], tail?: true, rows: Row[] }} Summary */

/**
 * @param {{ group: import('../groups/index.mjs').Group, subject: string, tables?: import('../groups/index.mjs').Table[], note?: string }[]} outcomes
 * @returns {Record<string, Summary>}
 */
export function collectRows(outcomes) {
  /** @type {Record<string, Summary>} */
  const summaries = {}
  /** The samples of the references, from all the processes they took part in. */
  const pooled = {}
  const summaryOf = (name, { name: group, title, unit = 'ns', references, tail }) =>
    (summaries[name] ??= { group, title, unit, references, ...(tail ? { tail } : {}), rows: [] })
  for (const { group, subject, tables, note } of outcomes) {
    if (!tables) {
      const names = group.tables && group.unit === 'bytes' ? [] : namesOf(group)
      for (const name of names) summaryOf(name, group).rows.push({ peer: subject, note })
      continue
    }
    for (const { table, rows } of tables) {
      const summary = summaryOf(table, group)
      for (const row of rows) {
        if (group.references.includes(row.peer)) ((pooled[table] ??= {})[row.peer] ??= []).push(row)
        else summary.rows.push(rowOf(row, rows, group))
      }
    }
  }
  for (const [table, references] of Object.entries(pooled)) {
    const { rows } = summaries[table]
    const order = summaries[table].references.filter((name) => references[name])
    rows.unshift(...order.map((name) => pool(references[name], summaries[table].tail)))
  }
  return summaries
}

const namesOf = ({ name, tables }) => (tables ? tables.map((part) => `${name} ${part}`) : [name])

function rowOf(row, rows, { references, tail }) {
  const ratios = {}
  for (const name of references) {
    const reference = rows.find((one) => one.peer === name)
    if (!reference) continue
    const both = Math.min(row.samples.length, reference.samples.length)
    ratios[name] = round(median(row.samples.slice(0, both).map((sample, at) => sample / reference.samples[at])))
  }
  return { ...spread(row, tail), ratios }
}

function pool(rows, tail) {
  const samples = rows.flatMap((row) => row.samples)
  const smaller = rows.flatMap((row) => row.smaller ?? [])
  return spread({ ...rows[0], samples, smaller: smaller.length ? smaller : undefined }, tail)
}

function spread({ peer, samples, smaller, count }, tail) {
  const [low, high] = quartiles(samples).map(round)
  const row = { peer, value: round(median(samples)), low, high, samples: samples.length }
  if (smaller) row.growth = round(median(samples) / median(smaller))
  if (count) row.count = count
  if (tail) row.tail = round(percentile(samples, 0.99))
  return row
}

const round = (value) => Number(value.toPrecision(4))

/** What a reader needs to judge the figures by: the machine, the runtime, the date. */
export function describe(key, version, mode, { verified, tables, seconds }) {
  return {
    runtime: { key, version },
    date: new Date().toISOString().slice(0, 10),
    mode,
    seconds,
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
      system: `${process.platform} ${process.arch}`,
    },
    verified,
    tables,
    targets: [],
  }
}

/** The results that are there, with the tables that were measured again; only of the same machine, runtime and day. */
export function renewed(fresh) {
  const file = `${folder}results/${fresh.runtime.key}.json`
  if (!existsSync(file)) throw new Error(`there is no ${file} to update: measure everything first`)
  const old = JSON.parse(readFileSync(file, 'utf8'))
  const identity = ({ runtime, machine, date }) => JSON.stringify([runtime, machine, date])
  if (identity(old) !== identity(fresh)) {
    throw new Error(`${file} is of another machine, runtime or day, so it cannot be updated: measure everything`)
  }
  return { ...old, verified: { ...old.verified, ...fresh.verified }, tables: { ...old.tables, ...fresh.tables } }
}

/** Writes results/[place/]<runtime>.json; gives its path below this folder. */
export function save(results, place) {
  const path = ['results', place, `${results.runtime.key}.json`].filter(Boolean).join('/')
  mkdirSync(`${folder}${path}`.replace(/[^/]+$/, ''), { recursive: true })
  writeFileSync(`${folder}${path}`, `${JSON.stringify(results, null, 2)}\n`)
  return `bench/${path}`
}
