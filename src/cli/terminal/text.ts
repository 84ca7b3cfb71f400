/** Text for terminals and for files: optional colours, tables, and no control of the cursor. */
import process from 'node:process'
import { isatty } from 'node:tty'
import { stripVTControlCharacters, styleText } from 'node:util'

type Format = Parameters<typeof styleText>[0]
/** Colours a text, or returns it unchanged. */
export type Paint = (format: Format, text: string) => string

/**
 * Returns the painter for a descriptor. It colours in a terminal, unless `NO_COLOR` is set or the terminal has no
 * colours. `FORCE_COLOR` colours everywhere.
 */
export function paintFor(descriptor: number): Paint {
  return wantsColour(descriptor, process.env) ? (format, text) => styleText(format, text) : (_format, text) => text
}

function wantsColour(descriptor: number, env: NodeJS.ProcessEnv): boolean {
  if (env['NO_COLOR']) return false
  if (env['FORCE_COLOR'] !== undefined) return env['FORCE_COLOR'] !== '0' && env['FORCE_COLOR'] !== 'false'
  return isatty(descriptor) && env['TERM'] !== 'dumb'
}

// The characters that terminals show two columns wide: East Asian scripts, emoji and full-width forms. The list is
// accurate enough for a table.
const WIDE =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\uFF01-\uFF60]/u
const NO_WIDTH = /\p{Mark}/u

/** Returns how many columns a text needs in a terminal. */
export function widthOf(text: string): number {
  let width = 0
  for (const one of stripVTControlCharacters(text)) width += NO_WIDTH.test(one) ? 0 : WIDE.test(one) ? 2 : 1
  return width
}

/** Returns a plain text that is cut to a number of columns. A text that was cut ends with `…`. */
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

/** A cell and its format. */
export interface Cell {
  readonly text: string
  readonly format?: Format | undefined
}

/** Returns lines of columns with two blanks between them. With `width`, no line is longer. */
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

/** Breaks a text into lines of at most `width` characters. A word that is longer has a line of its own. */
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
