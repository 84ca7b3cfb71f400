import { constants } from 'node:os'

/** The signals that the completion offers. */
export const USUAL_SIGNALS = ['TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2', 'KILL']

/**
 * Returns the signal of a name, with or without SIG, or of a number. Returns undefined for a signal that Node does not
 * know: for real-time signals Node has no names.
 */
export function signalNamed(text: string): NodeJS.Signals | undefined {
  const word = text.toUpperCase()
  const all = Object.entries(constants.signals) as [NodeJS.Signals, number][]
  return all.find(([name, number]) => [name, name.slice(3), String(number)].includes(word))?.[0]
}
