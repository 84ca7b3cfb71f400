/** The sizes that the support page tells are those of the package as built. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'

interface Sizes {
  readonly imports: readonly (readonly [line: string, what: string, use?: string])[]
  sizeOf(line: string, use?: string): Promise<{ readonly minified: number; readonly zipped: number }>
  kB(bytes: number): string
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const { imports, sizeOf, kB } = (await import(pathToFileURL(join(root, 'bench', 'sizes.mjs')).href)) as Sizes
const page = readFileSync(join(root, 'docs', 'reference', 'support.md'), 'utf8')

describe('the support page tells the size', () => {
  for (const [line, what, use] of imports.filter(([one]) => one.includes("'calloff"))) {
    it(`of ${line}`, async () => {
      const { minified, zipped } = await sizeOf(line, use)
      const row = `| \`${line.replace(/^import /, '')}\` | ${what} | ${kB(minified)} | ${kB(zipped)} |`
      const told = page.split('\n').find((one) => one.startsWith(row.slice(0, row.indexOf('` |'))))
      const sizes = [...(told ?? '').matchAll(/([\d.]+) kB/g)].map(([, size]) => Number(size) * 1000)
      assert.equal(sizes.length, 2, `the page has no row for it; it should be\n${row}`)
      // The page is written again when a size has changed by more than a reader would notice.
      const isNear = (at: number, bytes: number) =>
        Math.abs((sizes[at] as number) - bytes) <= Math.max(100, bytes * 0.03)
      assert.ok(isNear(0, minified) && isNear(1, zipped), `the page tells\n${told}\nbut it should be\n${row}`)
    })
  }
})
