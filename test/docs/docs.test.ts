import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { checkBlocks } from './check.js'
import { blocksOfProject } from './pages.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const outcomes = await checkBlocks(blocksOfProject(root), {
  project: root,
  typeRoots: `${root}node_modules/@types`,
  mode: 'ts',
})

describe('every code block of the README, the docs and the doc comments compiles, runs and prints what it says', () => {
  for (const { block, problem } of outcomes) {
    it(`${block.file}:${block.line}`, () => {
      assert.ok(problem === undefined, problem)
    })
  }
})
