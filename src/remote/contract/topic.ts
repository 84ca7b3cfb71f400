/** Checks the names of tokens. */
import { optional, wrongType } from '../../core/arguments.js'
import type { Topic } from './engine.js'
import { NAME_BYTES } from './limits.js'

const encoder = new TextEncoder()

/** Checks text that must be the same everywhere: well-formed, not too long, and without NUL, which separates names and runs. */
function checked(argument: string, value: string): string {
  // A UTF-16 code unit takes at most three bytes, so a short text need not be counted.
  const bytes = 3 * value.length <= NAME_BYTES ? 0 : encoder.encode(value).length
  if (bytes > NAME_BYTES) {
    throw new RangeError(`${argument} must have at most ${NAME_BYTES} bytes of UTF-8, got ${bytes}`)
  }
  if (value.includes('\0') || /[\uD800-\uDFFF]/u.test(value)) {
    throw new RangeError(`${argument} must be well-formed text without NUL, got ${JSON.stringify(value)}`)
  }
  return value
}

/** Checks a name and a run, and returns their topic. */
export function topicOf(name: unknown, runId = ''): Topic {
  if (typeof name !== 'string') throw wrongType('name', 'a string', name)
  if (name === '') throw new RangeError('name must not be empty')
  return { name: checked('name', name), runId: checked('runId', optional('runId', 'string', runId)) }
}

/** Checks the prefix of names. */
export function prefixOf(prefix: unknown): string {
  if (typeof prefix !== 'string') throw wrongType('prefix', 'a string', prefix)
  return checked('prefix', prefix)
}

/** Returns a key that is unique to the topic. */
export function keyOf({ name, runId }: Topic): string {
  return `${name}\0${runId}`
}
