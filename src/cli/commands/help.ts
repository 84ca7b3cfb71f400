/** The help texts, made of the tables in table.ts. */
import type { Command, Option } from '../arguments/command.js'
import { commandNamed } from '../arguments/find-command.js'
import type { ParsedArguments } from '../arguments/parse.js'
import { HELP } from '../arguments/parse.js'
import { printResult } from '../terminal/output.js'
import { type Paint, paintFor, wrap } from '../terminal/text.js'

const WIDTH = 80
const INDENT = 2

/** Returns the list of commands. It has colours if `paintFor` gives them to the descriptor. */
export function overview(all: readonly Command[], descriptor: number): string {
  const paint = paintFor(descriptor)
  const widest = Math.max(...all.map(({ name }) => name.length))
  return section([
    `${paint('bold', 'calloff')}: cancel anything, from anywhere`,
    '',
    'Usage: calloff COMMAND [OPTIONS…]',
    '',
    ...all.flatMap(({ name, summary }) => entry(name, summary, widest, paint)),
    '',
    'calloff COMMAND --help shows the options and examples of a command.',
    'calloff --version prints the version; with --json also what a bug report needs:',
    'the runtime, the platform, and the clients of Redis, NATS and PostgreSQL.',
    '',
    'Environment:',
    ...ENVIRONMENT.flatMap(([name, what]) => entry(name, what, 16, paint)),
  ])
}

const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ['CALLOFF_HUB', 'the hub, unless --hub is given'],
  ['CALLOFF_KEY_FILE', 'the file of its key, unless --key-file is given'],
  ['NO_COLOR', 'no colours'],
  ['CALLOFF_DEBUG', 'print the stack of an error'],
]

/** Returns the help of one command. */
export function helpOf(command: Command, descriptor: number): string {
  const paint = paintFor(descriptor)
  const title = (text: string) => paint('bold', text)
  const { name, summary, about, operands, options, examples, exits } = command
  const all = Object.entries({ ...options, ...HELP })
  const flags = all.map(([long, option]) => [flagOf(long, option), option.help] as const)
  const usage = ['calloff', name, Object.keys(options).length > 0 ? '[OPTIONS…]' : '', operands.label]
  return section([
    ...wrap(summary, WIDTH),
    '',
    `${title('Usage:')} ${usage.filter(Boolean).join(' ')}`,
    ...about.flatMap((text) => wrap(text, WIDTH).toSpliced(0, 0, '')),
    '',
    title('Options:'),
    ...flags.flatMap(([flag, what]) => entry(flag, what, Math.max(...flags.map(([one]) => one.length)), paint)),
    ...(exits ? ['', title('Exit codes:')] : []),
    ...(exits ?? []).flatMap(([code, what]) =>
      entry(code, what, Math.max(...(exits ?? []).map(([one]) => one.length)), paint),
    ),
    '',
    title('Examples:'),
    ...examples.flatMap(([line, what]) => (what ? [`  ${paint('dim', `# ${what}`)}`, `  ${line}`] : [`  ${line}`])),
  ])
}

function flagOf(long: string, { short, value }: Option): string {
  return `${short === undefined ? '    ' : `-${short}, `}--${long}${value === undefined ? '' : ` ${value}`}`
}

/** Returns a word in one column, and its meaning in the next. */
function entry(word: string, what: string, widest: number, paint: Paint): string[] {
  const margin = INDENT + widest + 2
  const [first = '', ...more] = wrap(what, Math.max(30, WIDTH - margin))
  const begin = ' '.repeat(INDENT) + paint('cyan', word) + ' '.repeat(widest - word.length + 2)
  return [begin + first, ...more.map((line) => ' '.repeat(margin) + line)]
}

function section(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`
}

/** `calloff help COMMAND`. */
export async function help({ operands: [word] }: ParsedArguments, all: readonly Command[]): Promise<number> {
  return printResult(word === undefined ? overview(all, 1) : helpOf(commandNamed(word, all), 1))
}
