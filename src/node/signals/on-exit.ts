/**
 * What becomes of child processes when this process ends.
 *
 * A group of its own is not the terminal's: Ctrl+C, or a closed window, does not reach it, and nobody is left to wait for
 * it once this process is gone. So the trees that are running are asked to end, and killed if they have been asked already,
 * - when a signal is about to end this process, because nobody here listens to it;
 * - when it ends by itself: `process.exit()`, an uncaught error, nothing left to do.
 *
 * Where others listen to the signal it is theirs to decide: a `ProcessSignalToken` cancels, and so ends the trees below it.
 * A process that is killed (`SIGKILL`, out of memory, a crash of the runtime) tells nobody, and its children live on.
 */
import process from 'node:process'
import { wasHeard } from './process-signals.js'
import type { ProcessTree } from '../../system/process-tree.js'

/** What a terminal, a shell or a service manager ends programs with. */
const SIGNALS: readonly NodeJS.Signals[] = process.platform === 'win32' ? [] : ['SIGINT', 'SIGTERM', 'SIGHUP']

const running = new Set<ProcessTree>()

/** From now on the tree does not outlive us, as far as we can help it; gives what ends that. */
export function watchOver(tree: ProcessTree): () => void {
  if (running.size === 0) {
    // Ahead of the others, who may take themselves off when they have heard it: they are to be counted before. (Deno calls
    // them in the order they came, so there one that was first, and has taken itself off, is not counted.)
    for (const signal of SIGNALS) process.prependListener(signal, passOn)
    process.on('exit', abandonAll)
  }
  running.add(tree)
  return () => {
    if (running.delete(tree) && running.size === 0) stopWatching()
  }
}

/** Whether anybody but us, and so many others, listens to the signal, or has just been cancelled by it. */
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
  process.kill(process.pid, signal) // the default action, for nobody listens any more
}

function abandonAll(): void {
  for (const tree of running) tree.abandon()
}
