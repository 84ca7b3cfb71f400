/**
 * The scripts by which a shell completes calloff, made from the table of commands.
 *
 * Names at the hub may contain any text, and a shell must not run them as code. So bash receives them one by one,
 * quoted, and never as a list of words that it would expand.
 */
import type { Command, Option } from '../arguments/command.js'
import { UsageError } from '../terminal/errors.js'
import { HELP, type ParsedArguments } from '../arguments/parse.js'
import { nearest } from '../../core/nearest.js'
import { printResult } from '../terminal/output.js'
import { USUAL_SIGNALS } from '../arguments/signal.js'

type Table = readonly Command[]

const SHELLS: Readonly<Record<string, (commands: Table) => string>> = { bash, fish, zsh }
const URLS = ['unix:', 'tcp://', 'tls://', 'redis://', 'nats://', 'postgres://']
const NAMES = 'command calloff ls --names --hub-timeout 2s -- '

/** `calloff completion` */
export async function completion({ operands: [shell = ''] }: ParsedArguments, all: Table): Promise<number> {
  const make = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined
  if (make) return printResult(make(all))
  const meant = nearest(shell, Object.keys(SHELLS))
  throw new UsageError(
    `there is no completion for ${JSON.stringify(shell)}; ${meant ? `did you mean ${meant}?` : 'there is bash, zsh and fish'}`,
  )
}

function optionsOf({ options }: Command): readonly (readonly [string, Option])[] {
  return Object.entries({ ...options, ...HELP })
}

/** Returns the flags of an option as the user types them, such as `-q` and `--quiet`. */
function flagsOf(name: string, { short }: Option): readonly string[] {
  return [...(short === undefined ? [] : [`-${short}`]), `--${name}`]
}

/** Returns the first sentence or clause of a help text, without the punctuation after it. */
function brief(help: string): string {
  return (help.split(/[:.;](?: |$)/, 1)[0] ?? '').replaceAll(/["'`$\\[\]]/g, '')
}

const valued = (command: Command) => optionsOf(command).filter(([, { value }]) => value !== undefined)

// ---- bash

function bash(commands: Table): string {
  const all = commands.map(({ name }) => name)
  return `# bash completion of calloff: source <(calloff completion bash)
_calloff_names() {
  local name
  while IFS= read -r name; do
    if [[ $name == "$cur"* ]]; then COMPREPLY+=("$(printf %q "$name")"); fi
  done < <(${NAMES}"$cur" 2>/dev/null)
}

_calloff_files() {
  local file
  compopt -o filenames 2>/dev/null
  while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$cur")
}

_calloff() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} word=\${COMP_WORDS[1]} at
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W '${[...all, '--help', '--version'].join(' ')}' -- "$cur"))
    return
  fi
${bashRun(commands.find(({ name }) => name === 'run') as Command)}
  case "$word $prev" in
${commands.flatMap(bashValues).join('\n')}
  esac
  if [[ $cur == -* ]]; then
    case $word in
${commands.map((one) => `      ${one.name}) COMPREPLY=($(compgen -W '${bashFlags(one)}' -- "$cur")) ;;`).join('\n')}
    esac
    return
  fi
  case $word in
    ${namesFor(commands, '|')}) _calloff_names ;;
    completion) COMPREPLY=($(compgen -W '${Object.keys(SHELLS).join(' ')}' -- "$cur")) ;;
    help) COMPREPLY=($(compgen -W '${all.join(' ')}' -- "$cur")) ;;
  esac
}
complete -F _calloff calloff
`
}

function namesFor(commands: Table, separator: string): string {
  const of = commands.filter(({ operands }) => operands.is === 'name' || operands.is === 'prefix')
  return of.map(({ name }) => name).join(separator)
}

function bashFlags(command: Command): string {
  return optionsOf(command)
    .flatMap(([name, option]) => flagsOf(name, option))
    .join(' ')
}

/**
 * Returns the code for `calloff run`. From the word on where the command to run begins, the completion of that command
 * is used.
 */
function bashRun(run: Command): string {
  const flags = valued(run).flatMap(([name, option]) => flagsOf(name, option))
  return `  if [[ $word == run ]]; then
    for (( at = 2; at < COMP_CWORD; at++ )); do
      case \${COMP_WORDS[at]} in
        --) (( at++ )); break ;;
        ${flags.join('|')}) (( at++ )) ;;
        -*) ;;
        *) break ;;
      esac
    done
    if (( at < COMP_CWORD )); then
      if declare -F _command_offset >/dev/null; then _command_offset "$at"; else _calloff_files; fi
      return
    fi
    if (( at == COMP_CWORD )) && [[ $cur != -* ]]; then
      COMPREPLY=($(compgen -c -- "$cur"))
      return
    fi
  fi`
}

function bashValues(command: Command): readonly string[] {
  return valued(command).map(([name, option]) => {
    const patterns = flagsOf(name, option).map((flag) => `'${command.name} ${flag}'`)
    return `    ${patterns.join('|')}) ${bashValue(option)}return ;;`
  })
}

function bashValue({ is }: Option): string {
  if (is === 'file') return '_calloff_files; '
  if (is === 'name') return '_calloff_names; '
  if (is === 'signal') return `COMPREPLY=($(compgen -W '${USUAL_SIGNALS.join(' ')}' -- "$cur")); `
  if (is === 'url') return `compopt -o nospace 2>/dev/null; COMPREPLY=($(compgen -W '${URLS.join(' ')}' -- "$cur")); `
  return ''
}

// ---- zsh

function zsh(commands: Table): string {
  return `#compdef calloff
# zsh completion of calloff: source <(calloff completion zsh), after compinit
_calloff_names() {
  local -a names
  names=("\${(@f)$(${NAMES}"$PREFIX" 2>/dev/null)}")
  compadd -a names
}

_calloff() {
  local -a commands
  commands=(
${commands.map(({ name, summary }) => `    '${name}:${brief(summary)}'`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local word=$words[2]
  shift words
  (( CURRENT-- ))
  case $word in
${commands.map((one) => `    ${one.name})\n      _arguments -s -S ${[...optionsOf(one).map(zshOption), ...zshOperands(one, commands)].join(' \\\n        ')} ;;`).join('\n')}
  esac
}
compdef _calloff calloff
`
}

function zshOption([name, option]: readonly [string, Option]): string {
  const { short, value, is, help } = option
  const long = value === undefined ? `--${name}` : `--${name}=`
  const rest = `[${brief(help)}]${value === undefined ? '' : `:${value}:${zshValue(is)}`}`
  if (short === undefined) return `'${long}${rest}'`
  return `'(-${short} --${name})'{-${short},${long}}'${rest}'`
}

function zshValue(is: Option['is']): string {
  if (is === 'file') return '_files'
  if (is === 'name') return '_calloff_names'
  if (is === 'signal') return `(${USUAL_SIGNALS.join(' ')})`
  return is === 'url' ? `(${URLS.map((url) => url.replaceAll(':', '\\:')).join(' ')})` : ' '
}

function zshOperands({ operands: { is } }: Command, commands: Table): readonly string[] {
  if (is === 'command') return [`'(-):command: _command_names -e'`, `'*::arguments: _normal'`]
  if (is === 'name' || is === 'prefix') return [`'*:name:_calloff_names'`]
  if (is === 'shell') return [`':shell:(${Object.keys(SHELLS).join(' ')})'`]
  return is === 'command-name' ? [`':command:(${commands.map(({ name }) => name).join(' ')})'`] : []
}

// ---- fish

function fish(commands: Table): string {
  const lines = commands.flatMap((command) => {
    const { name, summary, operands } = command
    const here = `-n '__fish_seen_subcommand_from ${name}'`
    return [
      `complete -c calloff -n __fish_use_subcommand -a ${name} -d '${brief(summary)}'`,
      ...optionsOf(command).map(([long, option]) => `complete -c calloff ${here} ${fishOption(long, option)}`),
      ...fishOperands(operands.is, commands).map((what) => `complete -c calloff ${here} ${what}`),
    ]
  })
  return `# fish completion of calloff: calloff completion fish > ~/.config/fish/completions/calloff.fish
complete -c calloff -f
${lines.join('\n')}
`
}

function fishOption(name: string, { short, value, is, help }: Option): string {
  const takes = value === undefined ? '' : is === 'file' ? ' -r -F' : ' -x'
  const words = is === 'url' ? URLS : is === 'signal' ? USUAL_SIGNALS : []
  const values =
    is === 'name' ? ` -a '(${NAMES}(commandline -ct) 2>/dev/null)'` : words.length > 0 ? ` -a '${words.join(' ')}'` : ''
  return `-l ${name}${short === undefined ? '' : ` -s ${short}`}${takes}${values} -d '${brief(help)}'`
}

function fishOperands(is: Command['operands']['is'], commands: Table): readonly string[] {
  if (is === 'command') return [`-a '(__fish_complete_subcommand --fcs-skip=2)'`]
  if (is === 'name' || is === 'prefix') return [`-a '(${NAMES}(commandline -ct) 2>/dev/null)'`]
  if (is === 'shell') return [`-a '${Object.keys(SHELLS).join(' ')}'`]
  return is === 'command-name' ? [`-a '${commands.map(({ name }) => name).join(' ')}'`] : []
}
