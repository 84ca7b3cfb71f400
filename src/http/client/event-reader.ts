/** Reads server-sent events from the body of a response, as the HTML standard defines them. */

import type { CancellationToken } from '../../core/token.js'

/** The greatest length of an event, in characters. */
const MOST = 262_144

/**
 * Calls `take` with the type and the data of each event, and `heard` whenever something arrives. Resolves at the end of the stream, and
 * ends the stream when the token is cancelled. An event that the end cuts off does not count.
 */
export async function readEvents(
  body: ReadableStream<Uint8Array>,
  token: CancellationToken,
  take: (type: string, data: string) => void,
  heard: () => void,
): Promise<void> {
  const reader = body.getReader()
  token.onCancel(() => void reader.cancel().catch(() => {}))
  const decoder = new TextDecoder()
  let rest = ''
  let type = ''
  let data = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    heard()
    // A carriage return at the end of a piece may be half of a line end.
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() as string
    for (const line of lines) {
      const [, field, content] = /^([^:]*):? ?(.*)/s.exec(line) as unknown as [string, string, string]
      if (field === 'event') type = content
      else if (field === 'data') data += `${content}\n`
      else if (!line) {
        if (data) take(type, data.slice(0, -1))
        type = data = ''
      }
    }
    if (rest.length + data.length > MOST) throw new RangeError('an event is too long')
  }
}
