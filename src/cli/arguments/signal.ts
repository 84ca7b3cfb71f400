import { constants } from 'node:os'

/** Those that are offered where one is asked for. */
export const USUAL_SIGNALS = ['TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2', 'KILL']

/** The signal of a name, with or without SIG, or of a number; undefined if Node knows none: real-time signals have no name. */
export function signalNamed(text: string): NodeJS.Signals | undefined {
  const word = text.toUpperCase()
  const all = Object.entries(constants.signals) as [NodeJS.Signals, number][]
  return all.find(([name, number]) => [name, name.slice(3), String(number)].includes(word))?.[0]
}
