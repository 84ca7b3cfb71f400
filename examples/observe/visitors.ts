/** The clients of the page: the first leaves, the deadline of the second passes, the third waits when Ctrl+C is pressed. */
import { once } from 'node:events'
import { type ClientRequest, get, type IncomingMessage } from 'node:http'

/** Sends a request, and returns when the server has begun to answer it. */
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

/** Visits the page of a server. `pressCtrlC` sends it the signal. Returns the status codes of the two clients that stay. */
export async function visit(url: string, pressCtrlC: () => void): Promise<(number | undefined)[]> {
  const leaving = (await visitor(url)).on('error', () => {})
  leaving.destroy()
  const late = await statusOf(get(url, { agent: false, headers: { 'x-request-timeout-ms': '300' } }))
  const answered = statusOf(await visitor(url))
  pressCtrlC()
  return [late, await answered]
}
