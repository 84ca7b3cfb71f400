/** What a command is: words for people and for completion, and what is loaded only when it runs. */
import type { Outcome } from '../terminal/exit-codes.js'
import type { Given } from './parse.js'

/** One option. Its name is its key in the table. */
export interface Option {
  /** One letter. */
  readonly short?: string
  /** What stands for the value in help texts; none for a flag. */
  readonly value?: string
  /** What the value is; decides how it is checked and completed. Default: text. */
  readonly is?: 'duration' | 'file' | 'name' | 'signal' | 'text' | 'url'
  readonly help: string
}

/** What comes after the options. */
export interface Operands {
  /** As the help has it: `NAME…`. */
  readonly label: string
  readonly is: 'command' | 'name' | 'none' | 'prefix' | 'shell' | 'command-name'
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
  /** A line to type, and what it is for. */
  readonly examples: readonly (readonly [line: string, what: string])[]
  /** What it ends with, beside 0 and 2. */
  readonly exits?: readonly (readonly [code: string, meaning: string])[]
  load(): Promise<Action>
}

/** Does the work; gives the exit code. It is told of all the commands, for help and completion. */
export type Action = (given: Given, all: readonly Command[]) => Promise<Outcome>
