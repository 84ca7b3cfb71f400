/**
 * A signal by which a lender ends processes, or by which both are ended. One that comes with a cancel does not end a process that
 * has the token: it has been asked already, and may finish in peace. (npm and others pass it on, so it may come twice.) One that
 * comes alone has the effect that it would have had.
 */
import process from 'node:process'
import { isMainThread } from 'node:worker_threads'
import { discover, LOOK } from '../../core/graph.js'
import type { CancellationToken } from '../../core/token.js'
import { isHeard } from './on-exit.js'

/** @param ask resolves once the token is no older than the call */
export function heedSignal(signal: NodeJS.Signals, token: CancellationToken, ask: () => Promise<void>): void {
  if (!isMainThread || process.platform === 'win32' || discover(token, LOOK)) return
  const letGo = () => void process.off(signal, hear)
  const hear = () => {
    if (isCalledOff(token)) return
    // Others decide for themselves, if they are there when it comes.
    const isOthers = isHeard(signal, 1)
    const decide = async () => {
      await ask()
      if (isCalledOff(token)) return
      letGo()
      if (!isOthers) process.kill(process.pid, signal)
    }
    void decide()
  }
  process.on(signal, hear)
  // After that nobody is there who will kill what does not come to an end.
  token.onCancel(({ kind }) => {
    if (kind === 'disconnect' || kind === 'dispose') letGo()
  })
}

function isCalledOff(token: CancellationToken): boolean {
  return discover(token, LOOK) !== undefined
}
