import blankSpace from 'ts-blank-space'
import ts from 'typescript'

/**
 * The code of a TypeScript block without its types, laid out as before: this is what the JavaScript tab of a page shows, and what
 * the tests run. `using`, which not every runtime knows, becomes `try … finally`. Undefined where only a compiler could do it.
 */
export function toJavaScript(code) {
  const lowered = withoutUsing(code)
  let isPossible = parse(lowered).parseDiagnostics.length === 0
  const blanked = blankSpace(lowered, () => (isPossible = false))
  if (!isPossible) return undefined
  return blanked === lowered ? lowered : squeezed(lowered, blanked)
}

const parse = (code) => ts.createSourceFile('block.ts', code, ts.ScriptTarget.ESNext, true)

/** `using x = f()` becomes `const x = f()`, and the statements after it the body of a `try` that disposes of x in the end. */
function withoutUsing(code) {
  if (!/\busing\s+\w+\s*=/.test(code)) return code
  const source = parse(code)
  const found = firstUsing(source)
  if (found === undefined) return code
  const { statement, following, isAsync } = found
  const names = statement.declarationList.declarations.map(({ name }) => name.getText())
  const margin = ' '.repeat(source.getLineAndCharacterOfPosition(statement.getStart()).character)
  const [symbol, wait] = isAsync ? ['asyncDispose', 'await '] : ['dispose', '']
  const disposals = names.toReversed().map((name) => `${margin}  ${wait}${name}[Symbol.${symbol}]()`)
  const end = following.at(-1)?.getEnd() ?? statement.getEnd()
  const lineEnd = code.indexOf('\n', end) < 0 ? code.length : code.indexOf('\n', end)
  const bodyStart = code.indexOf('\n', statement.getEnd()) + 1
  const body = following.length === 0 ? '' : indented(code.slice(bodyStart, lineEnd), following, bodyStart)
  const declared = code.slice(statement.getStart(), statement.getEnd()).replace(/^(?:await\s+)?using\b/, 'const')
  const head =
    code.slice(0, statement.getStart()) + declared + code.slice(statement.getEnd(), Math.max(bodyStart - 1, 0))
  // `using` reads the method where the variable is declared, and by that this kind of token knows that it is held.
  const held = /\bProcessSignalToken\b/.test(declared) ? names : []
  const text = [
    head,
    ...held.map((name) => `${margin}void ${name}[Symbol.dispose] // it is held from here on`),
    `${margin}try {`,
    ...(body === '' ? [] : [body]),
    `${margin}} finally {`,
    ...disposals,
    `${margin}}`,
  ].join('\n')
  return withoutUsing(text + code.slice(lineEnd))
}

/** The first `using` statement, with the statements after it in its block. */
function firstUsing(source) {
  let found
  const visit = (node) => {
    if (found !== undefined) return
    if (node.statements !== undefined) {
      const at = node.statements.findIndex(isUsing)
      if (at >= 0) {
        const statement = node.statements[at]
        const isAsync = statement.getText().startsWith('await')
        found = { statement, following: node.statements.slice(at + 1), isAsync }
        return
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const isUsing = (node) => ts.isVariableStatement(node) && /^(?:await\s+)?using\b/.test(node.getText())

/** Moves lines two columns to the right, but not what is inside of a template string. */
function indented(text, statements, start) {
  const fixed = []
  const visit = (node) => {
    if (ts.isTemplateExpression(node) || ts.isNoSubstitutionTemplateLiteral(node))
      fixed.push([node.getStart(), node.getEnd()])
    else ts.forEachChild(node, visit)
  }
  statements.forEach(visit)
  let at = start
  return text
    .split('\n')
    .map((line) => {
      const begin = at
      at += line.length + 1
      const isInside = fixed.some(([from, to]) => from < begin && begin < to)
      return line === '' || isInside ? line : `  ${line}`
    })
    .join('\n')
}

/** Takes out the spaces that stand where types were, and the lines that have nothing else. */
function squeezed(code, blanked) {
  const originals = code.split('\n')
  const lines = blanked.split('\n').flatMap((line, at) => {
    if (line === originals[at]) return [line]
    return line.trim() === '' ? [] : [squeezedLine(originals[at], line)]
  })
  // A semicolon takes the place of a type where the next line could be read as part of the one before; mostly it cannot.
  const isNeeded = (line, at) => line.trim() !== ';' || /^\s*[([`+\-/*]/.test(lines[at + 1] ?? '')
  return lines
    .filter(isNeeded)
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .replace(/^\n+/, '')
}

function squeezedLine(original, line) {
  const isBlanked = (i) => line[i] === ' ' && original[i] !== ' '
  let text = ''
  for (let i = 0; i < line.length; i++) {
    if (!isBlanked(i)) {
      text += line[i]
      continue
    }
    // From the first to the last character of a type, with the spaces in it.
    for (let j = i; j < line.length && line[j] === ' '; j++) if (isBlanked(j)) i = j
    const next = line[i + 1] ?? ''
    if (text.trim() === '') while (line[i + 1] === ' ') i++
    else if (/^[\s),;\]}]?$/.test(next)) text = text.trimEnd()
  }
  return text.trimEnd()
}
