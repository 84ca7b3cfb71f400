/** The second server: it hears from its own connection that nobody waits any more, and from a header how long somebody would. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { isCancellation } from 'calloff'
import { fromHeaders, fromRequest } from 'calloff/node'

/** Answers after `ms`. */
export async function startPrices(ms: number, log: (line: string) => void): Promise<Server> {
  const server = createServer(async (req, res) => {
    const token = fromRequest(req, res).plus(fromHeaders(req.headers, { max: 60_000 }))
    try {
      await token.sleep(ms)
      res.end('42')
    } catch (error) {
      if (!isCancellation(error, token)) throw error
      log(`prices: ${token.error?.kind}`)
      res.destroy()
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return server
}
