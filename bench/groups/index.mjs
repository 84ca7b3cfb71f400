import { groups as create } from './create.mjs'
import { groups as fanout } from './fanout.mjs'
import { groups as leak } from './leak.mjs'
import { groups as listen } from './listen.mjs'
import { groups as memory } from './memory.mjs'
import { groups as poll } from './poll.mjs'
import { groups as quickstart } from './quickstart.mjs'
import { groups as race } from './race.mjs'
import { groups as remote } from './remote.mjs'
import { groups as scope } from './scope.mjs'
import { groups as signal } from './signal.mjs'
import { groups as startUp } from './start-up.mjs'
import { groups as threads } from './threads.mjs'
import { groups as timeout } from './timeout.mjs'

/**
 * @typedef {object} Group
 * @property {string} name
 * @property {string} title What is done, as the head of its table.
 * @property {'ns' | 'bytes'} [unit] ns, if left out.
 * @property {readonly string[]} references Peers that are measured in turns with every other one, in its own process.
 * @property {true} [alone] The references get a process without anybody else as well.
 * @property {readonly string[]} [quickReferences] The same for a quick run, where that differs.
 * @property {readonly (string | readonly string[])[]} needs What a peer must be able to do; of a list, any one of it.
 * @property {true} [tail] Whether the 99th percentile is of interest as well.
 * @property {true} [collecting] Whether the garbage of one sample is cleared away before the next.
 * @property {(peer: any) => import('../measure/timing.mjs').Case} [make] For what is timed in a loop.
 * @property {(group: any, peers: any[], mode: 'quick' | 'full') => Promise<Table[]>} [measure] For what is not.
 * @property {(peer: any, token: any, listeners: (() => void)[]) => unknown[]} [build] See fanout.mjs.
 * @property {readonly string[]} [tables] The parts, if it gives more than one table.
 */

/** @typedef {{ table: string, rows: { peer: string, samples: number[], smaller?: number[], count?: number }[] }} Table */

/** @type {Group[]} */
export const groups = [
  ...poll,
  ...create,
  ...timeout,
  ...listen,
  ...fanout,
  ...race,
  ...scope,
  ...signal,
  ...quickstart,
  ...leak,
  ...memory,
  ...threads,
  ...remote,
  ...startUp,
]

/** Whether a peer takes part in a group. */
export function takesPart(peer, group) {
  if (peer.only && !peer.only.includes(group.name)) return false
  return group.needs.every((need) => [need].flat().some((name) => peer[name] !== undefined))
}
