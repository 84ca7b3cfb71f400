/** The report of a process as lines. All its texts come from another process. */
import type { CancelReport, NodeReport, ProcessReport, Snapshot } from '../../inspector/report.js'
import { count } from './describe.js'
import { formatAge } from './duration.js'
import { type Cell, type Paint, tableOf } from './text.js'
import { visible } from './visible.js'

/** Deeper nodes are not drawn. */
const DEEPEST = 30

/** Returns the table of the processes that can be asked, or why one of them did not answer. */
export function tableOfProcesses(
  all: readonly { readonly pid: number; readonly report?: ProcessReport; readonly trouble?: string }[],
  paint: Paint,
  now: number,
): string[] {
  const head = ['PID', 'AGE', 'SINCE', 'STATE', 'COMMAND'].map((text): Cell => ({ text, format: 'bold' }))
  const rows = all.map(({ pid, report, trouble = '' }): Cell[] => {
    if (!report) return [{ text: `${pid}` }, { text: '' }, { text: '' }, { text: trouble, format: 'red' }, { text: '' }]
    const { since, busy, command } = report
    const state: Cell = busy
      ? { text: `busy for ${formatAge(now - busy.since)}`, format: 'red' }
      : { text: 'answers', format: 'green' }
    return [
      { text: `${pid}` },
      { text: formatAge(now - since) },
      { text: timeOf(since) },
      state,
      { text: visible(command) },
    ]
  })
  return tableOf([head, ...rows], paint)
}

/** Returns the whole report. `now` is the time of the wall clock. */
export function linesOfReport(report: ProcessReport, paint: Paint, now: number): string[] {
  const { snapshot } = report
  const lines = [titleOf(report, paint, now), ...busyLines(report, paint, now)]
  if (!snapshot) return [...lines, '', 'it has not reported its tokens yet']
  const view = new TreeView(snapshot, paint, now)
  return [...lines, '', ...view.tree(), ...view.cancels(), ...view.lateErrors(), ...view.unstopped()]
}

function titleOf({ pid, command, since, runtime }: ProcessReport, paint: Paint, now: number): string {
  return `${paint('bold', visible(command))} (process ${pid}, ${visible(runtime)}), for ${formatAge(now - since)}`
}

function busyLines({ busy, snapshot, runtime }: ProcessReport, paint: Paint, now: number): string[] {
  if (!busy) return []
  const { since, within, frames } = busy
  const lines = [
    '',
    paint('red', `busy since ${timeOf(since)}, for ${formatAge(now - since)}: its main thread does not answer`),
  ]
  if (within) {
    lines.push(`  in ${visible(within.what)}, for ${formatAge(now - within.since)}`)
    if (within.startedAt !== undefined) lines.push(paint('dim', `    started at ${visible(within.startedAt)}`))
  }
  for (const [at, frame] of frames.entries()) lines.push(`  ${at === 0 ? 'at' : '  '} ${visible(frame)}`)
  if (frames.length === 0) {
    lines.push(
      paint(
        'dim',
        `  the running calls are not known ${runtime.startsWith('node') ? 'at this moment' : `on ${visible(runtime)}`}`,
      ),
    )
  }
  if (snapshot) lines.push(`its last report, from ${formatAge(now - snapshot.at)} ago:`)
  return lines
}

/** Returns the local time of the day, with the date if that is another one. */
function timeOf(at: number): string {
  const moment = new Date(at)
  if (Number.isNaN(Number(moment))) return '?'
  const time = moment.toTimeString().slice(0, 8)
  const isToday = moment.toDateString() === new Date().toDateString()
  return isToday ? time : `${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())} ${time}`
}

const pad = (number: number): string => `${number}`.padStart(2, '0')

class TreeView {
  readonly #snapshot: Snapshot
  readonly #paint: Paint
  readonly #now: number
  readonly #children = new Map<number, NodeReport[]>()
  readonly #roots: NodeReport[] = []

  constructor(snapshot: Snapshot, paint: Paint, now: number) {
    this.#snapshot = snapshot
    this.#paint = paint
    this.#now = now
    const ids = new Set(snapshot.nodes.map(({ id }) => id))
    for (const node of snapshot.nodes.toSorted((one, other) => one.id - other.id)) {
      const above = node.parents.find((id) => ids.has(id) && id !== node.id)
      if (above === undefined) this.#roots.push(node)
      else this.#children.set(above, [...(this.#children.get(above) ?? []), node])
    }
  }

  tree(): string[] {
    const { omitted } = this.#snapshot
    const lines: string[] = []
    for (const root of this.#roots) this.#draw(root, '', '', lines, new Set())
    if (lines.length === 0) lines.push('no scope is running, and nothing listens to a token')
    if (omitted > 0) lines.push(`… ${omitted} more`)
    return lines
  }

  /** A report may have circles, which no real one has. */
  #draw(node: NodeReport, first: string, rest: string, lines: string[], above: ReadonlySet<number>): void {
    if (above.has(node.id) || above.size > DEEPEST) return void lines.push(`${first}…`)
    const below = this.#children.get(node.id) ?? []
    lines.push(`${first}${this.#lineOf(node)}`)
    if (node.startedAt !== undefined) {
      lines.push(
        `${rest}${below.length > 0 ? '│  ' : '   '}${this.#paint('dim', `started at ${visible(node.startedAt)}`)}`,
      )
    }
    const path = new Set([...above, node.id])
    for (const [at, child] of below.entries()) {
      const isLast = at === below.length - 1
      this.#draw(child, `${rest}${isLast ? '└─ ' : '├─ '}`, `${rest}${isLast ? '   ' : '│  '}`, lines, path)
    }
  }

  #lineOf(node: NodeReport): string {
    const { id, parents, left, since, state, cancelled } = node
    const facts: string[] = []
    if (state === 'waiting') facts.push('waits for its turn')
    if (since !== undefined) facts.push(`for ${this.#ageOf(since)}`)
    if (left !== undefined) facts.push(visible(left))
    if (cancelled) facts.push(this.#paint('red', `cancelled ${this.#ageOf(cancelled.at)} ago`))
    if (parents.length > 1)
      facts.push(
        `also under ${parents
          .slice(1)
          .map((one) => `@${one}`)
          .join(', ')}`,
      )
    const title = node.what === 'task' ? this.#paint('cyan', titleOfNode(node)) : titleOfNode(node)
    return [`${title} ${this.#paint('dim', `@${id}`)}`, ...facts].join(', ')
  }

  #ageOf(at: number): string {
    return formatAge(this.#now - at)
  }

  cancels(): string[] {
    const { cancels } = this.#snapshot
    return this.#section('cancelled in the last minute:', cancels, (one) => [
      `${this.#ageOf(one.at)} ago: ${whyOf(one)}`,
      ...(one.cancelledAt === undefined ? [] : [this.#paint('dim', `  by ${visible(one.cancelledAt)}`)]),
    ])
  }

  lateErrors(): string[] {
    const { lateErrors } = this.#snapshot
    return this.#section('failed when it was too late to be heard:', lateErrors, ({ at, operation, message }) => [
      `${this.#ageOf(at)} ago, in ${visible(operation)}: ${visible(message)}`,
    ])
  }

  /** The scopes that are cancelled and go on. */
  unstopped(): string[] {
    const scopes = this.#snapshot.nodes.filter(({ what, cancelled }) => what === 'scope' && cancelled)
    return this.#section(this.#paint('red', 'has not stopped:'), scopes, (scope) => {
      const { id, isBodyRunning, cancelled } = scope
      const tasks = this.#snapshot.nodes.filter(({ what, parents }) => what === 'task' && parents.includes(id))
      const what = [...(isBodyRunning ? ['its body'] : []), ...(tasks.length > 0 ? [count(tasks.length, 'task')] : [])]
      const { at } = cancelled as CancelReport
      return [
        `${titleOfNode(scope)}, cancelled ${this.#ageOf(at)} ago: ${what.join(' and ')}`,
        `  ${whyOf(cancelled as CancelReport)}`,
        ...tasks.map((task) => `  ${this.#paint('cyan', titleOfNode(task))}${placeOf(task)}`),
      ]
    })
  }

  #section<T>(title: string, all: readonly T[], linesOf: (one: T) => readonly string[]): string[] {
    if (all.length === 0) return []
    return ['', title, ...all.flatMap(linesOf).map((line) => `  ${line}`)]
  }
}

function titleOfNode({ what, name, call }: NodeReport): string {
  if (what === 'token') return visible(call ?? name ?? 'token')
  return name === undefined ? `a ${what} without a name` : `${what} ${visible(name)}`
}

const placeOf = ({ startedAt }: NodeReport): string =>
  startedAt === undefined ? '' : `, started at ${visible(startedAt)}`

function whyOf({ what, kind, reason }: CancelReport): string {
  const why = reason === undefined || reason === '' ? '' : `: ${visible(reason)}`
  return `${visible(what)}${kind === 'manual' ? '' : ` (${visible(kind)})`}${why}`
}
