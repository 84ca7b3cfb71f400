import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { blocksOf } from './blocks.js'
import { checkBlocks } from './check.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const page = (...lines: string[]): string => lines.join('\n')

describe('the code blocks of a page', () => {
  it('are found with their line, their language and what they promise to print', () => {
    const [first, second] = blocksOf(
      'page.md',
      page(
        '# Title',
        '```ts',
        'console.log(1) // → 1',
        '```',
        '```sh',
        'ls',
        '```',
        '- item',
        '  ```js no-run',
        '  let a',
        '  ```',
      ),
    )
    assert.deepEqual([first?.line, first?.language, first?.isRun, first?.expected], [3, 'ts', true, ['1']])
    assert.deepEqual([second?.line, second?.language, second?.isRun, second?.code], [10, 'js', false, 'let a'])
  })

  it('are found in doc comments', () => {
    const [block] = blocksOf(
      'a.ts',
      page('/**', ' * @example', ' * ```ts', ' * const a = 1', ' * ```', ' */', 'const b = 1'),
    )
    assert.deepEqual([block?.line, block?.code], [4, 'const a = 1'])
  })

  it('stand on the block before where the fence says so', () => {
    const [, second] = blocksOf(
      'page.md',
      page('```ts', 'const a = 1', '```', '```ts continues', 'console.log(a)', '```'),
    )
    assert.equal(second?.code, 'const a = 1\nconsole.log(a)')
    assert.deepEqual(second.lines, [2, 5])
  })

  it('fail with file and line: in their types, in what they throw, in what they print', async () => {
    const text = page(
      ['```ts', '', "const a: number = 'x'", '```'].join('\n'),
      ['```ts', '', "throw new Error('thrown')", '```'].join('\n'),
      ['```ts', "console.log('one') // → two", '```'].join('\n'),
      ['```ts', "console.log('took 12 ms') // → took … ms", '```'].join('\n'),
    )
    const typeRoots = `${root}node_modules/@types`
    const outcomes = await checkBlocks(blocksOf('blocks-test.md', text), { project: root, typeRoots, mode: 'ts' })
    const [types, throws, prints, fine] = outcomes.map(({ problem }) => problem)
    assert.match(types ?? '', /^blocks-test\.md:3 TS2322: /)
    assert.match(throws ?? '', /^blocks-test\.md:7 ends with code 1\.[^]*thrown/)
    assert.match(prints ?? '', /^blocks-test\.md:10 [^]*promised, not printed: two\n {2}printed, not promised: one$/)
    assert.equal(fine, undefined)
  })
})
