/**
 * Ends child processes when this process ends.
 *
 * A child has a process group of its own, which is not that of the terminal. So Ctrl+C, or a closed window, does not
 * reach the child, and no one waits for it once this process is gone. So the running trees are asked to end, or are
 * killed if they have been asked already,
 * - when a signal is about to end this process, because there is no listener for it;
 * - when the process ends by itself: `process.exit()`, an uncaught error, nothing left to do.
 *
 * If there are other listeners for the signal, they decide: a `ProcessSignalToken` is cancelled, and so the trees below
 * it end. A process that is killed (`SIGKILL`, out of memory, a crash of the runtime) cannot end its children, which
 * live on.
 */
import process from 'node:process'
import { wasHeard } from './process-signals.js'
import type { ProcessTree } from '../../system/process-tree.js'

/** The signals with which a terminal, a shell or a service manager ends programs. */
const SIGNALS: readonly NodeJS.Signals[] = process.platform === 'win32' ? [] : ['SIGINT', 'SIGTERM', 'SIGHUP']

const running = new Set<ProcessTree>()

/** Ends the tree when this process ends, as far as possible. Returns a function that stops this. */
export function watchOver(tree: ProcessTree): () => void {
  if (running.size === 0) {
    // Ahead of the other listeners: they may remove themselves when they are called, and must be counted before. (Deno
    // calls listeners in the order of their registration. There, a listener that came first and has removed itself is
    // not counted.)
    for (const signal of SIGNALS) process.prependListener(signal, passOn)
    process.on('exit', abandonAll)
  }
  running.add(tree)
  return () => {
    if (running.delete(tree) && running.size === 0) stopWatching()
  }
}

/**
 * Whether the signal has other listeners than ours (`besides` of them belong to the caller), or has just cancelled a
 * token.
 */
export function isHeard(signal: NodeJS.Signals, besides = 0): boolean {
  const ours = running.size > 0 && SIGNALS.includes(signal) ? 1 : 0
  return process.listenerCount(signal) > ours + besides || wasHeard(signal)
}

function stopWatching(): void {
  for (const signal of SIGNALS) process.off(signal, passOn)
  process.off('exit', abandonAll)
}

function passOn(signal: NodeJS.Signals): void {
  if (isHeard(signal)) return
  abandonAll()
  stopWatching()
  running.clear()
  process.kill(process.pid, signal) // the default action, since there is no listener any more
}

function abandonAll(): void {
  for (const tree of running) tree.abandon()
}
