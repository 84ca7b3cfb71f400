/** `calloff tree`: asks running processes for their tokens, scopes and tasks. */
import { hostname } from 'node:os'
import process from 'node:process'
import { isatty } from 'node:tty'
import { isCancellation } from '../../index.js'
import { askProcess, askToCancel, NoAnswerError } from '../../inspector/ask.js'
import { findPlaces, type Place } from '../../inspector/place.js'
import { BadReportError, type ProcessReport } from '../../inspector/report.js'
import { ProcessSignalToken } from '../../node/index.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { atHub, checkName } from '../connect/hub.js'
import { byWhom, toJson } from '../terminal/describe.js'
import { Failure, UsageError } from '../terminal/errors.js'
import { FAILED, OK, type Outcome } from '../terminal/exit-codes.js'
import { printMessage, printResult } from '../terminal/output.js'
import { cutTo, paintFor } from '../terminal/text.js'
import { linesOfReport, tableOfProcesses } from '../terminal/tree-view.js'
import { visible } from '../terminal/visible.js'
import { FullScreen } from '../terminal/watch-views.js'

const PACE = 1_000
const SHORTEST = 100
const HOW = 'start it with node --import calloff/inspector, or with CALLOFF_INSPECT=1 if it loads calloff/node'

/** A process, and its answer or why there is none. */
interface Asked {
  readonly pid: number
  readonly report?: ProcessReport
  readonly trouble?: string
}

/** `calloff tree` */
export async function tree(given: ParsedArguments): Promise<Outcome> {
  const [operand] = given.operands
  const path = given.text('cancel')
  if (path === undefined && given.text('reason') !== undefined) throw new UsageError('--reason needs --cancel PATH')
  if (path !== undefined) return cancelIn(given, operand, path)
  if (given.has('watch')) return watch(given, operand)
  const all = await askAll(given, operand)
  print(given, operand, all)
  return operand === undefined || all.some(({ report }) => report) ? OK : FAILED
}

function print(given: ParsedArguments, operand: string | undefined, all: readonly Asked[]): void {
  if (given.has('json')) {
    printResult(all.flatMap(({ report }) => (report ? `${toJson(report)}\n` : [])).join(''))
    for (const { pid, trouble } of all) if (trouble !== undefined) printMessage(`process ${pid}: ${trouble}`)
    return
  }
  if (operand === undefined && all.length === 0) return printMessage(`no process can be asked; ${HOW}`)
  printResult(`${linesOf(operand, all).join('\n')}\n`)
}

function linesOf(operand: string | undefined, all: readonly Asked[]): string[] {
  const paint = paintFor(1)
  const now = Date.now()
  if (operand === undefined) return tableOfProcesses(all, paint, now)
  return all.flatMap(({ pid, report, trouble }, at) => [
    ...(at > 0 ? [''] : []),
    ...(report ? linesOfReport(report, paint, now) : [paint('red', `process ${pid}: ${trouble}`)]),
  ])
}

/** Asks the processes that the operand stands for. Errors: {@link Failure} if there are none. */
async function askAll(given: ParsedArguments, operand: string | undefined): Promise<readonly Asked[]> {
  const places = await placesFor(given, operand)
  const asked = await Promise.all(places.map((place) => ask(place, operand === undefined ? 'process' : 'tree')))
  // A process that has ended meanwhile is not listed.
  return operand === undefined ? asked.filter(({ trouble }) => trouble !== 'has ended') : asked
}

const isProcessId = (operand: string): boolean => /^\d+$/.test(operand)

async function placesFor(given: ParsedArguments, operand: string | undefined): Promise<readonly Place[]> {
  const places = await findPlaces()
  if (operand === undefined) return places
  if (!isProcessId(operand)) return placesOfHolders(given, checkName(operand), places)
  const found = places.filter(({ pid }) => pid === Number(operand))
  if (found.length === 0) throw new Failure(`process ${operand} cannot be asked; ${HOW}`)
  return found
}

/** The processes on this host that hold a name. Says which holders cannot be asked. */
async function placesOfHolders(
  given: ParsedArguments,
  name: string,
  places: readonly Place[],
): Promise<readonly Place[]> {
  const listings = await atHub(given, `the holders of ${visible(name)} are not known`, (hub) => hub.list(name))
  const holders = listings.filter((one) => one.name === name).flatMap(({ holders }) => holders)
  if (holders.length === 0) throw new Failure(`${visible(name)} has no holders`)
  const found = new Set<Place>()
  const seen = new Set<string>()
  for (const { host, pid, state } of holders) {
    const key = JSON.stringify([host, pid])
    if (seen.has(key)) continue
    seen.add(key)
    const own = host === hostname() ? places.filter((place) => place.pid === pid) : []
    for (const place of own) found.add(place)
    if (own.length > 0) continue
    const why = host === hostname() ? `cannot be asked; ${HOW}` : 'is on another host; run calloff tree there'
    printMessage(`${visible(name)} is held ${byWhom({ host, pid })} (${state}), which ${why}`)
  }
  return [...found]
}

async function ask(place: Place, what: 'process' | 'tree'): Promise<Asked> {
  const { pid } = place
  try {
    return { pid, report: await askProcess(place, what) }
  } catch (error) {
    return { pid, trouble: troubleOf(error) }
  }
}

function troubleOf(error: unknown): string {
  if (error instanceof NoAnswerError) return visible(error.message)
  if (error instanceof BadReportError)
    return `has sent an answer that calloff tree does not understand: ${visible(error.message)}`
  throw error
}

async function cancelIn(given: ParsedArguments, operand: string | undefined, path: string): Promise<number> {
  if (operand === undefined || given.has('watch'))
    throw new UsageError('--cancel needs PID or NAME, and cannot be used with --watch')
  const [place, ...others] = await placesFor(given, operand)
  if (!place) return FAILED
  if (others.length > 0) {
    throw new Failure(`--cancel is for one process; say which: ${[place, ...others].map(({ pid }) => pid).join(', ')}`)
  }
  const { pid } = place
  const answer = await askToCancel(place, path, given.text('reason')).catch((error: unknown) => {
    throw new Failure(`process ${pid} ${troubleOf(error)}; it is not known whether it has cancelled the token`)
  })
  if (given.has('json')) printResult(`${toJson({ pid, ...answer })}\n`)
  if ('refused' in answer) {
    if (given.has('json')) return FAILED
    printMessage(`process ${pid} has refused: ${visible(answer.refused)}`)
    for (const one of answer.paths ?? []) printMessage(visible(one), '  ')
    return FAILED
  }
  if (!given.has('json'))
    printResult(`${visible(answer.cancelled)}: ${answer.before ? 'was cancelled before' : 'cancelled'}\n`)
  return OK
}

// ---- --watch

async function watch(given: ParsedArguments, operand: string | undefined): Promise<Outcome> {
  const pace = given.duration('every') ?? PACE
  if (pace < SHORTEST) throw new UsageError(`--every must be ${SHORTEST}ms or more`)
  using interrupted = new ProcessSignalToken('SIGINT', 'SIGTERM', 'SIGHUP')
  const isFull = !given.has('json') && isatty(1) && process.env['TERM'] !== 'dumb'
  let lines: readonly string[] = ['asking …']
  const screen = isFull ? new FullScreen((columns) => lines.map((line) => cutLine(line, columns))) : undefined
  try {
    for (let last = ''; ;) {
      const asking = last === '' ? askAll(given, operand) : askAgain(given, operand)
      const all = await interrupted.race(asking)
      if (screen) {
        lines = [new Date().toTimeString().slice(0, 8), '', ...linesOf(operand, all)]
        screen.draw()
      } else if (given.has('json') || shapeOf(all) !== last) print(given, operand, all)
      last = shapeOf(all)
      if (operand !== undefined && all.every(({ trouble }) => trouble === 'has ended')) return OK
      await interrupted.sleep(pace)
    }
  } catch (error) {
    if (!isCancellation(error, interrupted)) throw error
    return interrupted.reason as NodeJS.Signals
  } finally {
    screen?.close()
  }
}

/** Asks a process that was there before. */
async function askAgain(given: ParsedArguments, operand: string | undefined): Promise<readonly Asked[]> {
  try {
    return await askAll(given, operand)
  } catch (error) {
    if (operand === undefined || !isProcessId(operand) || !(error instanceof Failure)) throw error
    return [{ pid: Number(operand), trouble: 'has ended' }]
  }
}

/** Does not cut a line with colours, because the line would lose the end of a colour. */
function cutLine(line: string, columns: number): string {
  return line.includes('\u001B') ? line : cutTo(line, columns)
}

/** Returns what is compared to see whether something has changed: everything except the ages. */
function shapeOf(all: readonly Asked[]): string {
  return JSON.stringify(
    all.map(({ pid, report, trouble }) => [
      pid,
      trouble,
      report?.busy?.since,
      report?.snapshot?.nodes.map(({ id, what, name, state }) => (state === 'waiting' ? [what, name] : [id, state])),
      report?.snapshot?.cancels.map(({ at }) => Math.round(at)),
    ]),
  )
}
