import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

const { toJavaScript } = (await import(new URL('../../../scripts/docs/javascript.mjs', import.meta.url).href)) as {
  toJavaScript(code: string): string | undefined
}
const page = (...lines: string[]): string => lines.join('\n')

const rows: Readonly<Record<string, readonly [string, string | undefined]>> = {
  'code without types stays as it is': ['const a = [1,  2] // two\n\n\nf(a)', 'const a = [1,  2] // two\n\n\nf(a)'],
  'types of variables and parameters': [
    'const a: number = 1\nfunction f(x: string, y?: Map<string, number>): void {}',
    'const a = 1\nfunction f(x, y) {}',
  ],
  assertions: ['f(a as Foo, b!, c satisfies Bar)', 'f(a, b, c)'],
  'type arguments': [
    'new Map<string, number>()\nf<T>(x)\nnew Promise<void>((r) => r())',
    'new Map()\nf(x)\nnew Promise((r) => r())',
  ],
  'types that are imported': [
    "import { type A, B } from 'x'\nimport type { C } from 'y'\nf(B)",
    "import { B } from 'x'\nf(B)",
  ],
  'whole declarations, and their lines': [
    page('interface A {', '  readonly a: string', '}', '', 'type B = A | undefined', '', 'f()'),
    'f()',
  ],
  'the words of classes': [
    page('class A implements B {', '  private readonly a: string = 1', '  #b?: string', '  declare c: number', '}'),
    page('class A {', '  a = 1', '  #b', '}'),
  ],
  'what only a compiler can take off': ['enum A { B }', undefined],
  'what cannot be read': ['const const', undefined],
  'using, to the end of its block': [
    page('{', '  using a = f()', '  g(a)', '', '  h()', '}', 'i()'),
    page(
      '{',
      '  const a = f()',
      '  try {',
      '    g(a)',
      '',
      '    h()',
      '  } finally {',
      '    a[Symbol.dispose]()',
      '  }',
      '}',
      'i()',
    ),
  ],
  'using, twice, and one that waits': [
    page('using a: A = f()', 'await using b = g(a)', 'h(`one', 'two ${b}', 'three`) // → text'),
    page(
      'const a = f()',
      'try {',
      '  const b = g(a)',
      '  try {',
      '    h(`one',
      'two ${b}',
      'three`) // → text',
      '  } finally {',
      '    await b[Symbol.asyncDispose]()',
      '  }',
      '} finally {',
      '  a[Symbol.dispose]()',
      '}',
    ),
  ],
  'using of a token that has to be held': [
    page("using a = new ProcessSignalToken('SIGINT')", 'f(a)'),
    page(
      "const a = new ProcessSignalToken('SIGINT')",
      'void a[Symbol.dispose] // it is held from here on',
      'try {',
      '  f(a)',
      '} finally {',
      '  a[Symbol.dispose]()',
      '}',
    ),
  ],
  'using, in a function': [
    page('async function f(): Promise<void> {', '  using a = g() // held', '}'),
    page(
      'async function f() {',
      '  const a = g() // held',
      '  try {',
      '  } finally {',
      '    a[Symbol.dispose]()',
      '  }',
      '}',
    ),
  ],
}

describe('a TypeScript block in JavaScript', () => {
  for (const [title, [code, wanted]] of Object.entries(rows)) {
    it(title, () => assert.equal(toJavaScript(code), wanted))
  }
})
