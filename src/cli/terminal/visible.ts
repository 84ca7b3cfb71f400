/**
 * Text that is safe in a terminal. Names, reasons, hosts and messages come from other processes and machines. All of
 * them pass through here before they are printed.
 *
 * These are escaped: the control characters, including C1; line and paragraph separators; halves of surrogate pairs;
 * invisible characters that act on their surroundings, such as overrides of the writing direction and byte order marks,
 * by which two names could look the same. The two joiners (U+200C, U+200D) are not escaped, because words of some
 * languages and some pictures contain them.
 */
const UNPRINTABLE = /(?![\u200C\u200D])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t' }

/** Returns the text on one line, without any character that a terminal would obey. */
export function visible(text: string): string {
  return text.replaceAll(UNPRINTABLE, (one) => SHORT[one] ?? `\\u{${(one.codePointAt(0) as number).toString(16)}}`)
}

/**
 * Does the same for a text that is JSON already. Characters are escaped as in JSON, so the text still stands for the
 * same value.
 */
export function visibleJson(json: string): string {
  return json.replaceAll(UNPRINTABLE, (one) =>
    Array.from({ length: one.length }, (_, at) => `\\u${one.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''),
  )
}
