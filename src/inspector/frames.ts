/** Where the main thread is, asked from another thread while it is busy. On Node only. */
import type { Debugger, Session } from 'node:inspector'
import process from 'node:process'
import { clearTimeout, setTimeout } from 'node:timers'

/** Milliseconds in which the main thread must come to a place where it can be paused. In a blocking system call it does not. */
const TIMEOUT = 500
const MOST_FRAMES = 8

/**
 * Returns the calls that are running in the main thread, the innermost first. It pauses the main thread for that, for
 * about a millisecond. Returns an empty list if the runtime cannot tell, or if the process is being debugged.
 */
export async function framesOfMainThread(): Promise<string[]> {
  if (process.versions.bun || process.versions['deno']) return []
  const { Session, url } = await import('node:inspector')
  // The pause would be seen in the debugger.
  if (url()) return []
  const session = new Session()
  try {
    session.connectToMainThread()
    return await paused(session)
  } catch {
    return []
  } finally {
    // The main thread goes on, also if it is paused only after this.
    session.disconnect()
  }
}

function paused(session: Session): Promise<string[]> {
  return new Promise((resolve) => {
    const urls = new Map<string, string>()
    const limit = setTimeout(resolve, TIMEOUT, [])
    session.on('Debugger.scriptParsed', ({ params }) => void urls.set(params.scriptId, params.url))
    session.once('Debugger.paused', ({ params }) => {
      clearTimeout(limit)
      session.post('Debugger.resume')
      resolve(params.callFrames.slice(0, MOST_FRAMES).map((frame) => textOf(frame, urls)))
    })
    session.post('Debugger.enable')
    session.post('Debugger.pause')
  })
}

function textOf({ functionName, url, location }: Debugger.CallFrame, urls: ReadonlyMap<string, string>): string {
  const script = url || urls.get(location.scriptId) || '?'
  const place = `${script}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1}`
  return functionName ? `${functionName} (${place})` : place
}
