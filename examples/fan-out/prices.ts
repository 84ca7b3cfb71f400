/** The second server: it hears from its own connection that nobody waits any more, and from a header how long somebody would. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { fromHeaders } from 'calloff'
import { fromRequest } from 'calloff/node'

/** Answers after `ms`. */
export async function startPrices(ms: number, log: (line: string) => void): Promise<Server> {
  const server = createServer((req, res) => void answer(req, res, ms, log))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return server
}

async function answer(
  req: IncomingMessage,
  res: ServerResponse,
  ms: number,
  log: (line: string) => void,
): Promise<void> {
  const token = fromRequest(req, res).plus(fromHeaders(req.headers, { max: 60_000 }))
  try {
    await token.sleep(ms)
    res.end('42')
  } catch {
    log(`prices: ${token.error?.kind}`)
    res.destroy()
  }
}
