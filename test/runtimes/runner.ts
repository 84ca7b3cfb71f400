/** The runner of all suites, which is a script since it also runs where nothing is built yet. */
import type { Counts, Outcome } from './runtime.js'

interface Options {
  /** Milliseconds that the file may take. */
  readonly limit: number
  readonly env?: NodeJS.ProcessEnv | undefined
  readonly onText?: (text: string) => void
}

interface Runner {
  readonly LIMIT: number
  readonly isStrict: boolean
  readonly runFile: (
    command: string,
    args: readonly string[],
    options: Options,
  ) => Promise<Pick<Outcome, 'problem' | 'output'>>
  readonly runNodeFile: (node: string, flags: readonly string[], file: string, options: Options) => Promise<Outcome>
  readonly isAmiss: (outcome: Outcome) => boolean
  readonly countsOf: (outcome: Outcome) => Counts
  readonly textOf: (counts: Counts) => string
  readonly complaintOf: (file: string, outcome: Outcome) => string
  readonly indent: (text: string) => string
  readonly inLanes: <T>(lanes: number, items: readonly T[], work: (item: T) => Promise<void>) => Promise<void>
  readonly missingOf: (reasons: readonly string[]) => string | undefined
  readonly reasonsIn: (line: string) => readonly string[]
}

const script = new URL('../../../scripts/runner.mjs', import.meta.url)
export const {
  LIMIT,
  isStrict,
  runFile,
  runNodeFile,
  isAmiss,
  countsOf,
  textOf,
  complaintOf,
  indent,
  inLanes,
  missingOf,
  reasonsIn,
} = (await import(script.href)) as Runner
