// Compilers: each version of TypeScript under each setting for modules, the declarations checked too, and what was emitted run.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { project, run, Skip, tool } from './kit.mjs'

const versions = {
  5.2: 'typescript-5.2',
  5.5: 'typescript-5.5',
  5.6: 'typescript-5.6',
  5.7: 'typescript-5.7',
  5.8: 'typescript-5.8',
  5.9: 'typescript-5.9',
  '6.0': 'typescript',
  '7.0': 'typescript-7',
}
/** The oldest, the one that most say is the least they ask for, and what is new. */
const quick = new Set(['5.2', '5.6', '6.0', '7.0'])
const strict = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  target: 'es2022',
  types: [],
}

async function compile(compiler, name, compilerOptions, { type = 'module', files = ['everywhere'], fails } = {}) {
  if (!existsSync(tool(compiler))) throw new Skip(`${compiler} is not installed`)
  const options = { ...strict, rootDir: '.', outDir: 'out', ...compilerOptions }
  const config = { compilerOptions: options, files: files.map((file) => `types/${file}.ts`) }
  const folder = project(`${compiler}-${name}`, { 'tsconfig.json': config }, { type })
  return { folder, said: await run(folder, [tool(`${compiler}/bin/tsc`), '-p', '.'], { fails: fails !== undefined }) }
}

async function compileAndRun(compiler, name, options, more) {
  const withNode = { types: ['node'], lib: ['es2022'], ...options }
  const { folder } = await compile(compiler, name, withNode, { files: ['everywhere', 'node'], ...more })
  const said = await run(folder, [join('out', 'types', 'node.js')])
  assert.equal(said, '["42",false,"manual","ERR_NO_PARENT","function"]\n')
}

function checksOf(version, compiler) {
  const number = Number(version)
  const checks = {}
  for (const module of ['nodenext', 'node16', 'bundler']) {
    const options =
      module === 'bundler' ? { module: 'esnext', moduleResolution: 'bundler' } : { module, moduleResolution: module }
    checks[`module ${module}`] = () => compileAndRun(compiler, module, options)
  }
  checks['lib ES2015, neither the DOM nor Node; lib ES2018, with the DOM'] = async () => {
    const bundler = { module: 'esnext', moduleResolution: 'bundler' }
    await compile(compiler, 'es2015', { ...bundler, lib: ['es2015'] }, { files: ['everywhere', 'bare'] })
    await compile(compiler, 'dom', { ...bundler, lib: ['es2018', 'dom'] })
  }
  // It is gone from TypeScript 7.
  if (number < 7) {
    checks['commonjs and node10, run with require(esm)'] = async () => {
      const old = number < 6 ? {} : { ignoreDeprecations: '6.0' }
      const options = { module: 'commonjs', moduleResolution: 'node10', esModuleInterop: true, ...old }
      await compileAndRun(compiler, 'node10', options, { type: 'commonjs' })
    }
  }
  // Before, TypeScript knew nothing of require(esm), and refused.
  if (number >= 5.8) {
    checks['CommonJS under nodenext, run with require(esm)'] = async () => {
      const options = { module: 'nodenext', moduleResolution: 'nodenext' }
      await compileAndRun(compiler, 'cjs', options, { type: 'commonjs' })
    }
  }
  return checks
}

export const compilers = [
  ...Object.entries(versions).map(([version, compiler]) => ({
    name: 'TypeScript',
    package: compiler,
    quick: quick.has(version),
    checks: checksOf(version, compiler),
  })),
  {
    name: 'TypeScript, too old',
    package: 'typescript-5.1',
    quick: true,
    checks: {
      'refuses, and names what it lacks': async () => {
        const options = { module: 'nodenext', moduleResolution: 'nodenext', lib: ['es2022'] }
        const { said } = await compile('typescript-5.1', 'old', options, { fails: true })
        assert.match(said, /Cannot find lib definition for 'esnext\.disposable'/)
      },
    },
  },
]
