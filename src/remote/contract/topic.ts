/** What tokens may be called. */
import { optional, wrongType } from '../../core/arguments.js'
import type { Topic } from './engine.js'
import { NAME_BYTES } from './limits.js'

const encoder = new TextEncoder()

/** Text that is the same on every side: well-formed, not too long, and with no NUL, which separates names and runs. */
function checked(argument: string, value: string): string {
  // A unit of UTF-16 is at most three bytes: a short text need not be counted.
  const bytes = 3 * value.length <= NAME_BYTES ? 0 : encoder.encode(value).length
  if (bytes > NAME_BYTES) {
    throw new RangeError(`${argument} must have at most ${NAME_BYTES} bytes of UTF-8, got ${bytes}`)
  }
  if (value.includes('\0') || /[\uD800-\uDFFF]/u.test(value)) {
    throw new RangeError(`${argument} must be well-formed text without NUL, got ${JSON.stringify(value)}`)
  }
  return value
}

/** Which token is meant. */
export function topicOf(name: unknown, runId = ''): Topic {
  if (typeof name !== 'string') throw wrongType('name', 'a string', name)
  if (name === '') throw new RangeError('name must not be empty')
  return { name: checked('name', name), runId: checked('runId', optional('runId', 'string', runId)) }
}

/** What names are to begin with. */
export function prefixOf(prefix: unknown): string {
  if (typeof prefix !== 'string') throw wrongType('prefix', 'a string', prefix)
  return checked('prefix', prefix)
}

/** The same for the same topic alone. */
export function keyOf({ name, runId }: Topic): string {
  return `${name}\0${runId}`
}
