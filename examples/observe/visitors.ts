/** The clients of the page: one leaves, one waits longer than the deadline, one is there when Ctrl+C is pressed. */
import { once } from 'node:events'
import { type ClientRequest, get, type IncomingMessage } from 'node:http'

/** A client whose request is under way. */
async function visitor(url: string): Promise<ClientRequest> {
  const request = get(url, { agent: false })
  await once(request, 'information') // 102 Processing
  return request
}

async function statusOf(request: ClientRequest): Promise<number | undefined> {
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode
}

/** Visits the page of a server. `pressCtrlC` sends it the signal. Returns the status codes of the two that stay. */
export async function visit(url: string, pressCtrlC: () => void): Promise<(number | undefined)[]> {
  const leaving = (await visitor(url)).on('error', () => {})
  leaving.destroy()
  const late = await statusOf(get(url, { agent: false, headers: { 'x-request-timeout-ms': '300' } }))
  const answered = statusOf(await visitor(url))
  pressCtrlC()
  return [late, await answered]
}
