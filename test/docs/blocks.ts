/** A fenced code block of a Markdown page or of a doc comment. */
export interface Block {
  /** The file as it was given, for messages. */
  readonly file: string
  /** The line of the block's first line of code, counted from 1. */
  readonly line: number
  readonly language: 'ts' | 'js'
  /** Type-checked only: the fence says `no-run`. */
  readonly isRun: boolean
  /** The code; of a block whose fence says `continues`, with that of the block it continues in front of it. */
  readonly code: string
  /** For each line of `code`, its line in the file. */
  readonly lines: readonly number[]
  /** What the `// → text` comments say that the block prints, in the order of the page. */
  readonly expected: readonly string[]
  /** True if each `console.log` has its comment, so that nothing else may be printed. */
  readonly isComplete: boolean
}

interface Line {
  readonly text: string
  readonly number: number
}

const fence = /^\s*(`{3,})\s*(\w*)\s*(.*)$/
const arrow = /\/\/ → ?(.*)$/
const languages: Readonly<Record<string, Block['language']>> = {
  ts: 'ts',
  typescript: 'ts',
  js: 'js',
  javascript: 'js',
}

/**
 * Finds the TypeScript and JavaScript blocks of a text, Markdown or (by the file's ending) TypeScript with doc comments.
 *
 * The words after the language on the fence: `no-run` (only type-checked) and `continues` (stands on the block before it
 * in the same file, whose code is run in front of it).
 */
export function blocksOf(file: string, text: string): Block[] {
  const lines = /\.[cm]?[jt]s$/.test(file) ? docCommentLines(text) : allLines(text)
  const blocks: Block[] = []
  let previous: Block | undefined
  for (let at = 0; at < lines.length; at++) {
    const opening = fence.exec(lines[at]!.text)
    if (opening === null) continue
    const [, ticks = '', name = '', info = ''] = opening
    const body: Line[] = []
    while (++at < lines.length && !lines[at]!.text.trim().startsWith(ticks)) body.push(lines[at]!)
    const language = languages[name]
    if (language === undefined || body.length === 0) continue
    previous = block(file, language, info.split(/\s+/), body, previous)
    blocks.push(previous)
  }
  return blocks
}

function block(
  file: string,
  language: Block['language'],
  words: readonly string[],
  body: readonly Line[],
  previous: Block | undefined,
): Block {
  const margin = Math.min(...body.filter(({ text }) => text.trim() !== '').map(({ text }) => text.search(/\S/)))
  const own = body.map(({ text }) => text.slice(Number.isFinite(margin) ? margin : 0))
  const before = words.includes('continues') ? previous : undefined
  const expected = own.flatMap((text) => arrow.exec(text)?.[1]?.trimEnd() ?? [])
  const prints = own.filter((text) => /\bconsole\.\w+\(/.test(text))
  const isComplete = expected.length > 0 && prints.every((text) => arrow.test(text)) && before?.isComplete !== false
  return {
    file,
    line: body[0]!.number,
    language,
    isRun: !words.includes('no-run'),
    code: [...(before === undefined ? [] : [before.code]), ...own].join('\n'),
    lines: [...(before?.lines ?? []), ...body.map(({ number }) => number)],
    expected: [...(before?.expected ?? []), ...expected],
    isComplete,
  }
}

const allLines = (text: string): Line[] => text.split(/\r?\n/).map((line, at) => ({ text: line, number: at + 1 }))

/** The lines inside of doc comments, without their asterisks; a fence never reaches from one comment into the next. */
function docCommentLines(text: string): Line[] {
  const lines: Line[] = []
  let inside = false
  for (const { text: line, number } of allLines(text)) {
    if (!inside && /^\s*\/\*\*(?!.*\*\/)/.test(line)) {
      inside = true
    } else if (inside && /\*\//.test(line)) {
      inside = false
    } else if (inside) {
      lines.push({ text: line.replace(/^\s*\* ?/, ''), number })
    }
  }
  return lines
}
