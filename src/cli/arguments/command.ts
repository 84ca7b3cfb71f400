/**
 * The description of a command: texts for the help and the completion, and the code, which is loaded only when the
 * command runs.
 */
import type { Outcome } from '../terminal/exit-codes.js'
import type { ParsedArguments } from './parse.js'

/** One option. Its name is its key in the table. */
export interface Option {
  /** One letter. */
  readonly short?: string
  /** The placeholder for the value in help texts. Undefined for a flag. */
  readonly value?: string
  /** The type of the value. It decides how the value is checked and completed. Default: text. */
  readonly is?: 'duration' | 'file' | 'name' | 'signal' | 'text' | 'url'
  readonly help: string
}

/** The arguments after the options. */
export interface Operands {
  /** The text in the help: `NAME…`. */
  readonly label: string
  readonly is: 'command' | 'name' | 'none' | 'prefix' | 'process' | 'shell' | 'command-name'
  readonly least: number
  readonly most: number
}

/** One command of the command line. */
export interface Command {
  readonly name: string
  /** One line, for the list of commands. */
  readonly summary: string
  /** Paragraphs. */
  readonly about: readonly string[]
  readonly operands: Operands
  readonly options: Readonly<Record<string, Option>>
  /** A line to type, and its purpose. */
  readonly examples: readonly (readonly [line: string, what: string])[]
  /** The exit codes besides 0 and 2. */
  readonly exits?: readonly (readonly [code: string, meaning: string])[]
  load(): Promise<Action>
}

/** Runs the command. Returns the exit code. Receives all commands too, for help and completion. */
export type Action = (given: ParsedArguments, all: readonly Command[]) => Promise<Outcome>
