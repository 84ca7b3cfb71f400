/**
 * What a peer is to the benchmark: a record of small functions, each the shortest idiomatic way to do one thing. A group
 * runs on every peer that has the functions it needs, so what a library cannot do is simply left out.
 *
 * Three words: a *source* is what can be cancelled, a *token* is what is polled and listened to, a *handle* is whatever has
 * to be kept to undo something. In some libraries they are one and the same object.
 *
 * @typedef {object} Peer
 * @property {string} name As in the tables.
 * @property {readonly string[]} [only] The groups a variant is there for; all it can do, if left out.
 * @property {true} [later] Cancelling a parent reaches its children only after some promises have turned.
 * @property {true} [cooperative] Its race waits for work to react to the inner signal, so it cannot give up on deaf work.
 * @property {() => any} [create] A new source whose token exists.
 * @property {(source: any) => any} [token]
 * @property {(source: any) => void} [cancel]
 * @property {(tokens: any[], times: number) => number} [polls] Polls eight tokens in rotation; gives how many were over.
 *   Written out for each peer: at one nanosecond a poll, a call in between would be half of the result.
 * @property {(token: any, times: number) => number} [pollsOne] The same for one token.
 * @property {(parent: any) => any} [derive1] A token that ends with the given one.
 * @property {true} [atAnyDepth] Derives nothing, and stands beside what is derived as it is.
 * @property {(a: any, b: any) => any} [derive2] A token that ends with either.
 * @property {(parent: any) => any} [child] A source that also ends with the given token.
 * @property {(source: any) => void} [release] Lets go of what `child` made before its parent ends.
 * @property {(ms: number) => any} [timeout] A source or token that ends after a time.
 * @property {(timeout: any) => any} [timeoutToken]
 * @property {(timeout: any) => void} [timeoutEnd] Takes its timer back; for those that start one at once and hold on to it.
 * @property {(token: any, listener: () => void) => any} [listen]
 * @property {(token: any, handle: any) => void} [unlisten]
 * @property {(token: any, work: Promise<any>) => Promise<any>} [race] The work's outcome, or a rejection on cancel.
 * @property {() => Promise<boolean>} [calledOff] Starts a sleep of a minute and calls it off; true if it was called off.
 * @property {(values: number[]) => Promise<number>} [together] Starts an async work for each value, which can be called off and takes
 *   one turn of promises; gives their sum. If one failed, the others would be called off and waited for.
 * @property {(others: number) => Promise<number>} [oneFails] The same with one that fails beside others that would never end;
 *   gives how many of them were stopped by then.
 * @property {(tokens: any[], times: number) => number} [timeoutPolls] Where polling a timeout is not what `polls` does.
 * @property {() => any} [signalParent] Something long-lived that was asked for its signal already.
 * @property {(parent?: any) => any} [signalBearer] Made before the clock runs: what is then asked for its signal.
 * @property {(bearer: any) => AbortSignal} [signalOfRoot] The first use of its signal, with nothing above it.
 * @property {(bearer: any) => AbortSignal} [signalOfDerived] The same below a parent.
 * @property {(rounds: number) => number} [quickstart] The loop of the README: a condition, a counter, a deadline; gives the turns.
 * @property {() => any} [shared] A token in shared memory, on the side that cancels it.
 * @property {(token: any) => any} [handle] What is posted to the other side.
 * @property {(handle: any) => any} [opened] The token on the other side.
 * @property {(token: any) => void} [sharedCancel]
 * @property {string} [reaches] Takes part in groups/threads.mjs where another thread is to be reached: the file it stands in.
 * @property {(token: any) => void} [spin] Polls until it is over.
 * @property {(token: any) => void} [sleep] Blocks until it is over.
 * @property {(token: any) => Promise<unknown>} [hear] Resolves when it is over.
 * @property {true} [told] Not by shared memory at all, but by a message to a thread that is idle.
 * @property {readonly string[]} [starts] The arguments of a process of Node, whose whole life is measured.
 * @property {() => any} [deadline] What is polled for a deadline.
 * @property {() => Promise<void>} [prepare] Before its deadlines are polled.
 * @property {() => Promise<Across>} [across] Something is told to another process.
 * @property {() => Promise<{ url: string, weigh?: () => Promise<number>, restart?: () => Promise<void>, end: () => Promise<void> }>} [hub] A server for `connectHub`.
 * @property {true} [manyHubs] It takes a thousand connections.
 * @property {true} [restarts] It can be ended and started again.
 * @property {true} [weigh] What it takes on the server's heap can be told.
 * @property {Readonly<Record<string, () => any>>} [kinds] More kinds of tokens whose memory is of interest.
 */

/**
 * @typedef {object} Across
 * @property {(count: number) => Promise<void>} prepare Makes ready for so many rounds.
 * @property {() => Promise<number>} round Nanoseconds of one way.
 * @property {() => Promise<void>} end
 */

/** One file each; only the ones a process needs are loaded into it. */
export const files = [
  'floor',
  'native',
  'calloff',
  'cancellationtoken',
  'vscode-jsonrpc',
  'esfx',
  'any-signal',
  'abort-controller-x',
  'caf',
  'effect',
  'effection',
  'sockets',
  'hub',
  'engines',
  'command-line',
]

/**
 * The peers of a file.
 *
 * @param {string} file
 * @returns {Promise<Peer[]>}
 */
export async function load(file) {
  const { peers } = await import(`./${file}.mjs`)
  return peers
}
