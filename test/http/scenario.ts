/** One use of the API, start to end, which goes the same way behind every server. */
import assert from 'node:assert/strict'
import type { HubHandlerOptions } from 'calloff/http'
import type { TokenHub } from 'calloff/remote'

/** A request of a client: to a path with its query, as `fetch` takes it. */
export type Send = (path: string, init?: RequestInit) => Promise<Response>

/** One stream at a time: the next one is let in when the server has seen that the client has left. */
export const options: HubHandlerOptions = {
  authorize: ({ headers }) => (headers.get('authorization') === 'Bearer secret' ? true : 401),
  basePath: '/calloff',
  pace: 10,
  limits: { streamsOfClient: 1 },
}

const headers = { authorization: 'Bearer secret' }

/** Rejects if the server does not pass on what the handler does. */
export async function useApi(hub: TokenHub, send: Send): Promise<void> {
  const post = (path: string, body?: object) => {
    const json = body && { body: JSON.stringify(body), headers: { ...headers, 'content-type': 'application/json' } }
    return send(path, { method: 'POST', headers, ...json })
  }
  assert.equal((await send('/calloff/v1/names')).status, 401)

  const token = hub.open('a b/ä')
  await token.ready
  let finish!: () => void
  void token.finished(new Promise<void>((resolve) => (finish = resolve)))
  const name = new URLSearchParams({ name: 'a b/ä' }).toString()
  const cancelled = await post(`/calloff/v1/cancel?${name}`, { reason: 'no longer wanted' })
  assert.equal(cancelled.status, 202)
  assert.equal(token.reason, 'no longer wanted')
  finish()
  const state = await send(`${cancelled.headers.get('location')}&timeout=60000`, { headers })
  const { holders } = (await state.json()) as { holders: readonly { state: string }[] }
  assert.deepEqual(
    holders.map(({ state: one }) => one),
    ['finished'],
  )
  token.close()

  const hold = await open(send, '/calloff/v1/hold?name=job')
  await hold.read('event: ready')
  const asked = hub.cancel('job', 'stop', { timeout: 60_000 })
  const [, id] = /id: (\S+)/.exec(await hold.read('event: cancelled')) ?? []
  for (const path of ['acknowledge', 'finish'])
    assert.equal((await post(`/calloff/v1/holds/${path}?hold=${id}`)).status, 204)
  assert.equal((await asked).acknowledged, 1)
  await hold.toTheEnd()

  const events = await open(send, '/calloff/v1/events')
  await events.read('event: ready')
  events.leave()
  const later = await open(send, '/calloff/v1/events')
  await later.read('event: ready')
  later.leave()
}

/** Opens a stream, again and again while the client has as many as it may have. */
async function open(send: Send, path: string) {
  for (;;) {
    const left = new AbortController()
    const response = await send(path, { headers, signal: left.signal })
    if (response.status !== 429) return streamOf(response, left)
    await response.text()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function streamOf(response: Response, left: AbortController) {
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const decoder = new TextDecoder()
  let text = ''
  return {
    /** Reads until the text has come; returns all text so far. */
    async read(what: string): Promise<string> {
      while (!text.includes(what)) {
        const { done, value } = await reader.read()
        assert.ok(!done, `the stream ended before ${what}`)
        text += decoder.decode(value, { stream: true })
      }
      return text
    },
    async toTheEnd(): Promise<void> {
      while (!(await reader.read()).done);
    },
    leave(): void {
      left.abort()
      reader.cancel().catch(() => {})
    },
  }
}
