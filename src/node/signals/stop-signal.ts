/**
 * Handles a signal with which a lender ends processes, or which ends lender and borrower together. A signal that comes
 * with a cancel does not end a process that has the token: the process has been asked already, and may finish its
 * cleanup. (npm and other programs pass the signal on, so it may come twice.) A signal that comes alone has its usual
 * effect.
 */
import process from 'node:process'
import { isMainThread } from 'node:worker_threads'
import { discover, READ } from '../../core/graph.js'
import type { CancellationToken } from '../../core/token.js'
import { isHeard } from './on-exit.js'

/** @param ask resolves once the token is at least as new as the call */
export function heedSignal(signal: NodeJS.Signals, token: CancellationToken, ask: () => Promise<void>): void {
  if (!isMainThread || process.platform === 'win32' || discover(token, READ)) return
  const letGo = () => void process.off(signal, hear)
  const hear = () => {
    if (isCancelled(token)) return
    // Other listeners decide for themselves, if they are there when the signal comes.
    const isOthers = isHeard(signal, 1)
    const decide = async () => {
      await ask()
      if (isCancelled(token)) return
      letGo()
      if (!isOthers) process.kill(process.pid, signal)
    }
    void decide()
  }
  process.on(signal, hear)
  // After that, there is no lender that would kill a process which does not end.
  token.onCancel(({ kind }) => {
    if (kind === 'disconnect' || kind === 'dispose') letGo()
  })
}

function isCancelled(token: CancellationToken): boolean {
  return discover(token, READ) !== undefined
}
