// The figures in README and docs come from the committed results, and from nowhere else.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'

const root = new URL('../../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

interface Page {
  committed(): readonly { readonly runtime: { readonly key: string } }[]
  page(): string
  withTable(readme: string): string
}

const { committed, page, withTable } = (await import(new URL('bench/report/page.mjs', root).href)) as Page

describe('the benchmark figures', () => {
  it('are there for every runtime', () => {
    const keys = committed().map(({ runtime }) => runtime.key)
    assert.deepEqual(keys, ['node20', 'node24', 'node26', 'bun', 'deno'])
  })

  it('in docs/internals/benchmarks.md are those of the committed results', () => {
    assert.equal(read('docs/internals/benchmarks.md'), page())
  })

  it('in README are those of the committed results', () => {
    const readme = read('README.md')
    assert.equal(readme, withTable(readme))
    assert.match(readme, /\*\*[\d.k]+ ns\*\*/)
  })
})
