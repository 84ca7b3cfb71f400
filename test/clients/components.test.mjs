/** The components of docs/guides/components.md: compiled as they stand there, mounted in a page, changed and removed. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { before, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { transform } from 'esbuild'
import { compile, compileModule } from 'svelte/compiler'
import { compileScript, parse } from 'vue/compiler-sfc'

const page = readFileSync(new URL('../../docs/guides/components.md', import.meta.url), 'utf8')
const folder = fileURLToPath(new URL('node_modules/.components/', import.meta.url))
const pathOf = (name) => pathToFileURL(`${folder}${name}`).href

/** Writes down which requests were cancelled, and why. */
const requests = `
export const told = []
export async function load(id, token) {
  if (id === 2) return 'user 2'
  const { cause } = await token.wait()
  told.push([id, cause])
  return 'too late'
}
`
before(() => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}load.js`, requests)
  writeFileSync(`${folder}package.json`, '{ "type": "module" }')
  writeFileSync(`${folder}props.js`, compileModule('export const props = $state({ id: 0 })', {}).js.code)
})

const frameworks = {
  react: { fence: 'jsx', compiled: async (code) => (await transform(code, { loader: 'jsx', jsx: 'automatic' })).code },
  vue: {
    fence: 'vue',
    compiled: (code) => compileScript(parse(code).descriptor, { id: 'user', inlineTemplate: true }).content,
  },
  svelte: { fence: 'svelte', compiled: (code) => compile(code, { generate: 'client', name: 'User' }).js.code },
}

for (const [framework, { fence, compiled }] of Object.entries(frameworks)) {
  test(`${framework}: a request stops when its component changes, by a Stop button and with its component, and its answer is dropped`, async () => {
    const [, code] = new RegExp(`^\`\`\`${fence}\\n(.*?)^\`\`\`$`, 'ms').exec(page)
    writeFileSync(`${folder}${framework}.js`, await compiled(code))
    const program = fileURLToPath(new URL('component.mjs', import.meta.url))
    const files = [`${framework}.js`, 'load.js', 'props.js'].map(pathOf)
    const args = ['--conditions=browser', program, framework, ...files]
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 })
    const { shown, told } = JSON.parse(stdout)
    assert.deepEqual(shown, ['…', 'user 2', 'user 2', 'stopped'])
    assert.deepEqual(told, [
      [1, 'the component has changed'],
      [3, 'Stop pressed'],
      [4, 'the component has changed'],
    ])
  })
}
