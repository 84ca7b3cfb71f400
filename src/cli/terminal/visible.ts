/**
 * Text that is safe in a terminal. Names, reasons, hosts and messages come from other processes and machines: all of them pass through
 * here before they are printed.
 *
 * Escaped are the control characters, C1 included; line and paragraph separators; what has no shape but acts on its surroundings, such as
 * overrides of the writing direction and byte order marks, by which two names could look the same; and halves of characters. Left as
 * they are: the two joiners (U+200C, U+200D) that words of some languages and pictures are made of.
 */
const UNPRINTABLE = /(?![\u200C\u200D])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t' }

/** The text on one line, with nothing in it that a terminal would obey. */
export function visible(text: string): string {
  return text.replaceAll(UNPRINTABLE, (one) => SHORT[one] ?? `\\u{${(one.codePointAt(0) as number).toString(16)}}`)
}

/** The same for a text that is JSON already: what is escaped is escaped as JSON has it, so it still reads as the same value. */
export function visibleJson(json: string): string {
  return json.replaceAll(UNPRINTABLE, (one) =>
    Array.from({ length: one.length }, (_, at) => `\\u${one.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''),
  )
}
