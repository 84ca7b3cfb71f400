/**
 * Finds the command for the arguments, and turns its errors into one line. Loads as little as possible, so that the
 * start is fast.
 */
import process from 'node:process'
import { commandNamed } from './arguments/find-command.js'
import { commands } from './commands/all.js'
import { OK, type Outcome, USAGE } from './terminal/exit-codes.js'
import { refuseChangedArguments } from './arguments/argument-bytes.js'
import { Failure, messageOf, UsageError } from './terminal/errors.js'
import { parseArguments } from './arguments/parse.js'
import { printMessage, printResult } from './terminal/output.js'
import { visible } from './terminal/visible.js'

/** Runs the command line. Never throws. */
export async function main(args: readonly string[]): Promise<Outcome> {
  try {
    refuseChangedArguments(args)
    return await dispatch(args)
  } catch (error) {
    printMessage(messageOf(error))
    if (process.env['CALLOFF_DEBUG'] && error instanceof Error) {
      for (const line of (error.stack ?? '').split('\n')) printMessage(visible(line))
    }
    return error instanceof Failure ? error.exitCode : 1
  }
}

async function dispatch([word, ...rest]: readonly string[]): Promise<Outcome> {
  if (word === undefined) {
    const { overview } = await import('./commands/help.js')
    printMessage(overview(commands, 2).trimEnd(), '')
    return USAGE
  }
  if (word === '--version' || word === '-V') {
    const { version } = await import('./commands/version.js')
    return version(rest)
  }
  if (word === '--help' || word === '-h') return showHelp([])
  if (word.startsWith('-')) throw new UsageError(`there is no option ${word} before a command; see calloff --help`)
  const command = commandNamed(word, commands)
  const given = parseArguments(command, rest)
  if (given.has('help')) return showHelp([word])
  const act = await command.load()
  return await act(given, commands)
}

async function showHelp([word]: readonly string[]): Promise<number> {
  const { helpOf, overview } = await import('./commands/help.js')
  printResult(word === undefined ? overview(commands, 1) : helpOf(commandNamed(word, commands), 1))
  return OK
}
