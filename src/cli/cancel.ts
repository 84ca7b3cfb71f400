import process from 'node:process'
import type { Receipt } from '../remote/index.js'
import { count, holderText, markText, toJson } from './describe.js'
import { formatDuration } from './duration.js'
import { FAILED, OK } from './exit-codes.js'
import type { Given } from './given.js'
import { checkName, close, connect, runOf } from './hub.js'
import { show } from './say.js'
import { visible } from './visible.js'

/** `calloff cancel` */
export async function cancel(given: Given): Promise<number> {
  const names = [...new Set(given.operands)].map((name) => checkName(name))
  const within = given.duration('wait')
  const options = { ...runOf(given), ...(within === undefined ? {} : { within }) }
  const hub = await connect(given)
  try {
    const receipts = await Promise.all(names.map((name) => hub.cancel(name, given.text('reason'), options)))
    if (!given.has('quiet')) {
      const shown = receipts.map((one) => (given.has('json') ? `${toJson(one)}\n` : textOf(one, within)))
      show(shown.join(''))
    }
    const isDone = receipts.every((one) => one.delivered && (within === undefined || one.waiting.length === 0))
    return isDone ? OK : FAILED
  } finally {
    await close(hub)
  }
}

function textOf(receipt: Receipt, within: number | undefined): string {
  const { name, delivered, holders, acknowledged, finished, waiting, mark } = receipt
  const shown = visible(name)
  if (!delivered) return `${shown}: not delivered, the hub did not answer\n`
  // Somebody was first; what he has said is what the others were told.
  const already = isOurs(receipt) ? '' : `, which was done already ${markText(mark)}`
  if (holders === 0) return `${shown}: called off; nobody held it${already}\n`
  if (within === undefined) return `${shown}: called off; ${count(holders, 'holder')}${already}\n`
  const lines = [
    `${shown}: called off; ${count(holders, 'holder')}, ${acknowledged} heard of it, ${finished} finished${already}`,
  ]
  for (const holder of waiting) {
    const how = holder.state === 'open' ? 'has not heard of it' : 'has heard of it and not finished'
    lines.push(`  ${holderText(holder)} ${how} after ${formatDuration(within)}`)
  }
  return `${lines.join('\n')}\n`
}

function isOurs({ mark: { who } }: Receipt): boolean {
  return who.pid === process.pid
}
