/**
 * What becomes of child processes when this process ends.
 *
 * A group of its own is not the terminal's: Ctrl+C, or a closed window, does not reach it, and nobody is left to wait for
 * it once this process is gone. So while a tree is running
 * - a signal that ends this process, because nobody here listens to it, is passed on to the trees before it does;
 * - when this process ends by itself (`process.exit()`, an uncaught error, nothing left to do) they are asked to end; those
 *   that have been asked already are killed, since nobody will do so later.
 *
 * Where others listen to the signal it is theirs to decide: a `ProcessSignalToken` cancels, and so ends the trees below it.
 * A process that is killed (`SIGKILL`, out of memory, a crash of the runtime) tells nobody, and its children live on.
 */
import process from 'node:process'
import type { ProcessTree } from './process-tree.js'

/** What a terminal, a shell or a service manager ends programs with. */
const SIGNALS: readonly NodeJS.Signals[] = process.platform === 'win32' ? [] : ['SIGINT', 'SIGTERM', 'SIGHUP']

const running = new Set<ProcessTree>()

/** From now on the tree does not outlive us, as far as we can help it; gives what ends that. */
export function watchOver(tree: ProcessTree): () => void {
  if (running.size === 0) {
    // Ahead of the others, who may take themselves off when they have heard it: they are to be counted before.
    for (const signal of SIGNALS) process.prependListener(signal, passOn)
    process.on('exit', endAll)
  }
  running.add(tree)
  return () => {
    if (running.delete(tree) && running.size === 0) stopWatching()
  }
}

function stopWatching(): void {
  for (const signal of SIGNALS) process.off(signal, passOn)
  process.off('exit', endAll)
}

function passOn(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return
  for (const tree of running) {
    // What shares our group has had it from the terminal.
    if (tree.hasGroup || signal !== 'SIGINT') tree.signalNow(signal)
  }
  stopWatching()
  running.clear()
  process.kill(process.pid, signal) // the default action, for nobody listens any more
}

function endAll(): void {
  for (const tree of running) tree.signalNow(tree.isEnding ? 'SIGKILL' : 'SIGTERM')
}
