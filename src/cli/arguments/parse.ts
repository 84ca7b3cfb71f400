/** Parses the arguments, and checks them against the table of the command. */
import { parseArgs, type ParseArgsConfig } from 'node:util'
import type { Command, Option } from './command.js'
import { parseDuration } from '../terminal/duration.js'
import { UsageError } from '../terminal/errors.js'
import { signalNamed } from './signal.js'
import { nearest } from '../../core/nearest.js'

type Table = NonNullable<ParseArgsConfig['options']>
type Values = Readonly<Record<string, string | boolean | undefined>>

/** The options and operands of one call. */
export class ParsedArguments {
  /** The arguments after the options. For `run`: the command and its arguments, unchanged. */
  readonly operands: readonly string[]
  readonly #values: Values

  constructor(values: Values, operands: readonly string[]) {
    this.#values = values
    this.operands = operands
  }

  has(name: string): boolean {
    return this.#values[name] === true
  }

  text(name: string): string | undefined {
    const value = this.#values[name]
    return typeof value === 'string' ? value : undefined
  }

  /** Returns the value in milliseconds. */
  duration(name: string): number | undefined {
    const text = this.text(name)
    return text === undefined ? undefined : parseDuration(text)
  }

  signal(name: string): NodeJS.Signals | undefined {
    const text = this.text(name)
    return text === undefined ? undefined : signalNamed(text)
  }
}

/** The options of every command. */
export const HELP: Readonly<Record<string, Option>> = {
  help: { short: 'h', help: 'Show this help.' },
}

function tableOf(options: Readonly<Record<string, Option>>): Table {
  const entries = Object.entries(options).map(([name, { short, value }]) => [
    name,
    { type: value === undefined ? 'boolean' : 'string', ...(short === undefined ? {} : { short }) },
  ])
  return Object.fromEntries(entries) as Table
}

/** Parses the arguments of a command. Errors: {@link UsageError} with one line. */
export function parseArguments(command: Command, args: readonly string[]): ParsedArguments {
  const { operands, name } = command
  const options = { ...command.options, ...HELP }
  const table = tableOf(options)
  const [own, rest] = operands.is === 'command' ? split(args, table) : [args, undefined]
  const { tokens } = parseArgs({ args: [...own], options: table, strict: false, allowPositionals: true, tokens: true })
  const values: Record<string, string | boolean> = {}
  const found: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') found.push(token.value)
    if (token.kind !== 'option') continue
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined
    if (!option) throw unknownOption(token.rawName, Object.keys(options), name)
    if (option.value === undefined && token.value !== undefined) {
      throw new UsageError(`${token.rawName} takes no value, got ${JSON.stringify(token.value)}`)
    }
    if (option.value !== undefined && !isValue(token.value, token.inlineValue)) {
      throw new UsageError(`${token.rawName} needs a value: ${token.rawName} ${option.value}`)
    }
    if (option.is === 'duration' && parseDuration(token.value as string) === undefined) {
      throw new UsageError(
        `${token.rawName} must be a duration such as 30s, 500ms or 1h30m, got ${JSON.stringify(token.value)}`,
      )
    }
    if (option.is === 'signal' && signalNamed(token.value as string) === undefined) {
      throw new UsageError(
        `${token.rawName} must be a signal such as TERM, INT or 15, got ${JSON.stringify(token.value)}`,
      )
    }
    values[token.name] = token.value ?? true
  }
  const all = rest ?? found
  if (values['help'] !== true) checkOperands(command, all)
  return new ParsedArguments(values, all)
}

/** In `--reason --quiet` the value is missing. In `--reason=--quiet` and `--reason -` it is given. */
function isValue(value: string | undefined, isInline: boolean | undefined): boolean {
  return value !== undefined && (isInline === true || value === '-' || !value.startsWith('-'))
}

/**
 * Splits the arguments where the command to run begins, with or without `--` before it. The arguments after that point
 * are not parsed.
 */
function split(args: readonly string[], options: Table): readonly [readonly string[], readonly string[]] {
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true })
  const border = tokens.find(({ kind }) => kind !== 'option')
  if (!border) return [args, []]
  const after = border.kind === 'positional' ? border.index : border.index + 1
  return [args.slice(0, border.index), args.slice(after)]
}

function unknownOption(rawName: string, known: readonly string[], command: string): UsageError {
  const meant = nearest(rawName.replace(/^-+/, ''), known)
  const hint = meant === undefined ? `see calloff ${command} --help` : `did you mean --${meant}?`
  return new UsageError(`there is no option ${rawName} of calloff ${command}; ${hint}`)
}

function checkOperands({ operands: { label, least, most }, name }: Command, given: readonly string[]): void {
  if (given.length < least) throw new UsageError(`calloff ${name} needs ${label}; see calloff ${name} --help`)
  if (given.length > most) {
    const extra = JSON.stringify(given[most])
    throw new UsageError(`calloff ${name} takes ${label || 'no arguments'}, so ${extra} is too many`)
  }
}
