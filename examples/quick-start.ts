/**
 * A loop that may stop for three reasons, and says which it was.
 *
 * Other odds, polls and milliseconds can be given: `node quick-start.js 1` is lucky at once, `… Infinity 10` has ten polls,
 * `… Infinity 1e12 50` has 50 ms.
 */
import { ConditionToken, CounterToken, TimeoutToken } from 'calloff'

const [odds = 100_000, polls = 400_000, ms = 1_000] = process.argv.slice(2).map(Number)

const luck = new ConditionToken(() => Math.random() < 1 / odds, { name: 'luck' })
const limit = new CounterToken(polls, { direct: false, name: 'limit' })
const patience = new TimeoutToken(ms, { name: 'patience' })
const token = luck.plus(limit, patience)

let count = 0
while (token.keepOn()) count++

console.log(`${count} turns, cancelled by ${token.cancelledBy?.name}: ${token.error?.message}`)
