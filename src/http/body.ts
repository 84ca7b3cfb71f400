/** Reads the body of a request. A client sends it, so it may be large, slow, or something else than JSON. */
import { TimeoutToken } from '../core/token.js'
import { isCancellation } from '../core/errors.js'
import { Problem } from './problem.js'

/** Text that is not UTF-8 is refused, not repaired. */
const decoderOf = () => new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })

/**
 * Returns the object in the body; an empty one without a body. Rejects with a `Problem` if the body is too large, too slow, or not a
 * JSON object.
 *
 * @param most the largest number of bytes
 * @param within how long the body may take, in milliseconds
 */
export async function readObject(request: Request, most: number, within: number): Promise<Record<string, unknown>> {
  const type = request.headers.get('content-type')
  // A form of another origin can send other types without asking first.
  if (type !== null && !/^application\/json\s*(;|$)/i.test(type)) throw new Problem('unsupported-media-type')
  if (Number(request.headers.get('content-length') ?? 0) > most) throw tooLarge(most)
  const text = await readText(request, most, within)
  if (text === '') return {}
  if (type === null) throw new Problem('unsupported-media-type')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Problem('bad-request', 'the body must be JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Problem('bad-request', 'the body must be a JSON object')
  }
  return value as Record<string, unknown>
}

async function readText(request: Request, most: number, within: number): Promise<string> {
  if (!request.body) return ''
  if (request.bodyUsed || request.body.locked) throw new TypeError('authorize must not read the body of the request')
  const reader = request.body.getReader()
  using time = new TimeoutToken(within)
  const decoder = decoderOf()
  let text = ''
  let size = 0
  try {
    for (;;) {
      const { done, value } = await time.race(reader.read())
      if (done) return text + decoder.decode()
      size += value.length
      if (size > most) throw tooLarge(most)
      text += decoder.decode(value, { stream: true })
    }
  } catch (error) {
    reader.cancel().catch(() => {})
    if (error instanceof Problem) throw error
    if (isCancellation(error, time)) throw new Problem('timeout')
    throw new Problem('bad-request', 'the body must be UTF-8, and complete')
  }
}

function tooLarge(most: number): Problem {
  return new Problem('too-large', `the body may have at most ${most} bytes`)
}
