/** Text for terminals and for files: colours where they are wanted, tables, and nothing that plays with the cursor. */
import process from 'node:process'
import { isatty } from 'node:tty'
import { stripVTControlCharacters, styleText } from 'node:util'

type Format = Parameters<typeof styleText>[0]
/** Colours a text, or leaves it as it is. */
export type Paint = (format: Format, text: string) => string

/** For a descriptor: colours in a terminal, unless `NO_COLOR` is set or it has none; `FORCE_COLOR` has them anywhere. */
export function paintFor(descriptor: number): Paint {
  return wantsColour(descriptor, process.env) ? (format, text) => styleText(format, text) : (_format, text) => text
}

function wantsColour(descriptor: number, env: NodeJS.ProcessEnv): boolean {
  if (env['NO_COLOR']) return false
  if (env['FORCE_COLOR'] !== undefined) return env['FORCE_COLOR'] !== '0' && env['FORCE_COLOR'] !== 'false'
  return isatty(descriptor) && env['TERM'] !== 'dumb'
}

// The scripts that terminals write two columns wide, and pictures. Close enough for a table.
const WIDE =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\uFF01-\uFF60]/u
const NO_WIDTH = /\p{Mark}/u

/** How many columns a terminal needs for it. */
export function widthOf(text: string): number {
  let width = 0
  for (const one of stripVTControlCharacters(text)) width += NO_WIDTH.test(one) ? 0 : WIDE.test(one) ? 2 : 1
  return width
}

/** As much of a plain text as fits. */
export function cutTo(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text
  let cut = ''
  let width = 1
  for (const one of text) {
    width += widthOf(one)
    if (width > columns) break
    cut += one
  }
  return `${cut}…`
}

/** A cell, and how it is painted. */
export interface Cell {
  readonly text: string
  readonly format?: Format | undefined
}

/** Lines of columns, two blanks apart; with `width`, none is longer. */
export function tableOf(rows: readonly (readonly Cell[])[], paint: Paint, width = Infinity): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [at, { text }] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, widthOf(text))
  }
  return rows.map((row) => {
    let left = width
    const cells = row.map(({ text, format }, at) => {
      if (left <= 0) return ''
      const cut = cutTo(text, left)
      const isLast = at === row.length - 1
      const pad = isLast ? 0 : Math.max(0, Math.min((widths[at] as number) + 2, left) - widthOf(cut))
      left -= widthOf(cut) + pad
      return (format === undefined ? cut : paint(format, cut)) + ' '.repeat(pad)
    })
    return cells.join('').trimEnd()
  })
}

/** Lines of words, no longer than `width`. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
