/** A program in a worker of its own. Only the thread is stopped from outside: a program may be in a loop that never yields. */
export interface Program {
  /** How it came to its end. */
  readonly ended: Promise<'ended' | 'failed' | 'stopped'>
  stop(): void
}

/** What the worker says. */
export type Said = { readonly print: string } | { readonly end: 'ended' | 'failed' }

/** Runs the body of an async function whose arguments are the modules. */
export function start(body: string, print: (text: string) => void): Program {
  const worker = new Worker(new URL('worker.ts', import.meta.url), { type: 'module' })
  let stop: () => void
  const ended = new Promise<'ended' | 'failed' | 'stopped'>((resolve) => {
    stop = () => resolve('stopped')
    worker.addEventListener('message', ({ data }: MessageEvent<Said>) => {
      if ('print' in data) print(data.print)
      else resolve(data.end)
    })
    worker.addEventListener('error', ({ message }) => {
      print(message)
      resolve('failed')
    })
    worker.postMessage(body)
  }).finally(() => worker.terminate())
  return { ended, stop: () => stop() }
}
