import type { Command } from './command.js'
import { UsageError } from '../terminal/errors.js'
import { nearest } from '../../core/nearest.js'

/** Returns the command of that name. Errors: {@link UsageError} for a word that is no command. */
export function commandNamed(word: string, all: readonly Command[]): Command {
  const found = all.find(({ name }) => name === word)
  if (found) return found
  const names = all.map(({ name }) => name)
  const meant = nearest(word, names)
  const hint = meant === undefined ? 'see calloff --help' : `did you mean ${meant}?`
  throw new UsageError(`there is no command ${JSON.stringify(word)}; ${hint}`)
}
