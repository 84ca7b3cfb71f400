import process from 'node:process'
import type { Receipt } from '../../remote/index.js'
import { count, holderText, markText, toJson } from '../terminal/describe.js'
import { formatDuration } from '../terminal/duration.js'
import { FAILED, OK } from '../terminal/exit-codes.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { answered, checkName, close, connect, runIdOf } from '../connect/hub.js'
import { printResult } from '../terminal/output.js'
import { visible } from '../terminal/visible.js'

/** `calloff cancel` */
export async function cancel(given: ParsedArguments): Promise<number> {
  const names = [...new Set(given.operands)].map((name) => checkName(name))
  const timeout = given.duration('wait')
  const options = { ...runIdOf(given), ...(timeout === undefined ? {} : { timeout }) }
  const hub = await connect(given)
  try {
    const cancels = Promise.all(names.map((name) => hub.cancel(name, given.text('reason'), options)))
    // With a timeout, the receipt comes in time and says whether the cancel was delivered.
    const unknown = `whether ${names.length === 1 ? 'the cancel is' : 'the cancels are'} stored is not known`
    const receipts = await (timeout === undefined ? answered(given, unknown, cancels) : cancels)
    if (!given.has('quiet')) {
      const shown = receipts.map((one) => (given.has('json') ? `${toJson(one)}\n` : textOf(one, timeout)))
      printResult(shown.join(''))
    }
    const isDone = receipts.every(
      ({ delivered, complete, waiting }) => delivered && (timeout === undefined || (complete && waiting.length === 0)),
    )
    return isDone ? OK : FAILED
  } finally {
    await close(hub)
  }
}

/** The hub has just come back, or did not answer in time. */
const UNKNOWN = 'the holders are not known, the hub could not tell'

function textOf(receipt: Receipt, timeout: number | undefined): string {
  const { name, delivered, complete, holders, acknowledged, finished, waiting, mark } = receipt
  const shown = visible(name)
  if (!delivered) return `${shown}: not delivered, the hub did not answer\n`
  // Another process cancelled it first: the holders have received the reason of that process.
  const already = isOurs(receipt) ? '' : `; it was cancelled before, ${markText(mark)}`
  const more = complete ? '' : '; there may be more holders, the hub could not tell'
  if (holders === 0) return `${shown}: cancelled; ${complete ? 'no holders' : UNKNOWN}${already}\n`
  if (timeout === undefined) return `${shown}: cancelled; ${count(holders, 'holder')}${more}${already}\n`
  const lines = [
    `${shown}: cancelled; ${count(holders, 'holder')}, ${acknowledged} notified, ${finished} finished${more}${already}`,
  ]
  for (const holder of waiting) {
    const how = holder.state === 'open' ? 'was not notified' : 'was notified and has not finished'
    lines.push(`  ${holderText(holder)} ${how} after ${formatDuration(timeout)}`)
  }
  return `${lines.join('\n')}\n`
}

function isOurs({ mark: { who } }: Receipt): boolean {
  return who.pid === process.pid
}
