import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { root } from '../installed.mjs'

/** The page for operators, from the sources in page/: one text with its script and its style, and what a policy needs to allow just these. */
export function operatorsPage() {
  const { buildSync } = createRequire(import.meta.url)('esbuild')
  const { outputFiles } = buildSync({
    absWorkingDir: root,
    entryPoints: ['page/main.tsx', 'page/style.css'],
    outdir: 'page',
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: ['es2022', 'chrome111', 'firefox115', 'safari16.4'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    charset: 'utf8',
    logLevel: 'warning',
  })
  const textOf = (end) => outputFiles.find(({ path }) => path.endsWith(end)).text.trim()
  const [script, style] = [textOf('.js'), textOf('.css')]
  if (/<\/(?:script|style)|<!--/i.test(script + style)) throw new Error('the page would end its own script')
  const html = readFileSync(`${root}/page/index.html`, 'utf8')
    .replaceAll(/\n/g, '')
    .replace('<style></style>', () => `<style>${style}</style>`)
    .replace('<script type="module"></script>', () => `<script type="module">${script}</script>`)
  const lines = [
    '/** Written by `npm run generate` from the folder page. The view library in it is Preact (MIT, Copyright (c) 2015-present Jason Miller). */',
    `export const PAGE =\n  ${literal(html)}`,
    '/** The hashes of the script and of the style, as a Content-Security-Policy has them. */',
    `export const SCRIPT_HASH = '${hashOf(script)}'`,
    `export const STYLE_HASH = '${hashOf(style)}'`,
  ]
  return [['src/http/page-text.ts', `${lines.join('\n')}\n`]]
}

const hashOf = (text) => `sha256-${createHash('sha256').update(text).digest('base64')}`

/** A literal in which nothing is invisible. */
function literal(text) {
  const json = JSON.stringify(text).replaceAll(
    /[^ -~]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return `'${json.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`
}
