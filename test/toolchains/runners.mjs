// Test runners and doubles: tokens as arguments, compared, printed where a test fails, and under fake timers.
import assert from 'node:assert/strict'
import process from 'node:process'
import { project, run, tool } from './kit.mjs'

const lines = (...parts) => parts.join('\n')

/** The tests of a user of Jest or Vitest; `fn` makes a double, `fake` and `advance` are the runner's timers. */
const passing = ({ fn, fake, advance, real }) =>
  lines(
    `const { live, kinds, faked, wanted } = cases(calloff)`,
    `for (const [name, token] of Object.entries(kinds)) {`,
    `  test('a ' + name + ' token as an argument', () => {`,
    `    const double = ${fn}`,
    `    double('id', token)`,
    `    expect(double).toHaveBeenCalledWith('id', token)`,
    `    expect(double).not.toHaveBeenCalledWith('id', null)`,
    `    expect(() => expect(double).toHaveBeenCalledWith('other', token)).toThrow()`,
    `  })`,
    `  test('a ' + name + ' token compared', () => {`,
    `    expect(token).toBe(token)`,
    `    expect(token).toEqual(token)`,
    `    expect(token).toStrictEqual(token)`,
    `    expect({ token }).toMatchObject({ token })`,
    `    expect([token]).toContain(token)`,
    `    expect(token).not.toEqual({})`,
    `    expect(() => expect(token).toBe(live())).toThrow()`,
    `    expect(() => expect(token).toEqual('other')).toThrow()`,
    `    expect(() => expect([token]).toEqual([null])).toThrow()`,
    `  })`,
    `}`,
    `test('two tokens are unequal, even if they look alike', () => {`,
    `  expect(live()).not.toEqual(live())`,
    `  expect(() => expect(live()).toEqual(live())).toThrow()`,
    `  expect(live()).not.toEqual(live().cancel())`,
    `  expect(() => expect(live()).toEqual(live().cancel())).toThrow()`,
    `})`,
    `test('fake timers', async () => {`,
    `  ${fake}`,
    `  try { expect(await faked((ms) => ${advance})).toBe(wanted) } finally { ${real} }`,
    `})`,
  )

/** Each of these fails, and has to say so and end. */
const failing = lines(
  `const { kinds, live } = cases(calloff)`,
  `for (const [name, token] of Object.entries(kinds)) {`,
  `  test('toBe ' + name, () => expect(token).toBe(live()))`,
  `  test('toEqual ' + name, () => expect({ token }).toEqual({ token: 7 }))`,
  `  test('called ' + name, () => { const double = FN; double('id', token); expect(double).toHaveBeenCalledWith('id', live(), 7) })`,
  `}`,
)

function failuresIn(output) {
  // Six kinds, three tests each.
  assert.match(output, /\b18 failed\b/)
  assert.match(output, /SimpleToken|live/)
}

const jest = {
  fn: 'jest.fn()',
  fake: 'jest.useFakeTimers()',
  advance: 'jest.advanceTimersByTimeAsync(ms)',
  real: 'jest.useRealTimers()',
}
const cjs = `const calloff = require('calloff')\nconst { cases } = require('./doubles.cjs')\n`
const esm = `import * as calloff from 'calloff'\nimport { cases } from './doubles.cjs'\n`
const jestEsm = `${esm}import { jest } from '@jest/globals'\n`
const plugin = `[require.resolve('${tool('@babel/plugin-transform-modules-commonjs')}')]`

async function jestCommonJs() {
  const folder = project(
    'jest-cjs',
    {
      // The package is of ES modules: Jest has to be told to compile it too.
      'jest.config.js': lines(
        `module.exports = {`,
        `  transform: { '\\\\.[cm]?js$': ['${tool('babel-jest')}', { babelrc: false, configFile: false, plugins: [${plugin}] }] },`,
        `  transformIgnorePatterns: ['/node_modules/(?!calloff/)'],`,
        `  testMatch: ['**/*.test.cjs'], moduleFileExtensions: ['js', 'cjs', 'mjs', 'json'], cache: false, watchman: false,`,
        `}`,
      ),
      'passing.test.cjs': cjs + passing(jest),
      'failing.test.cjs': cjs + failing.replaceAll('FN', jest.fn),
    },
    { type: 'commonjs' },
  )
  await run(folder, [tool('jest/bin/jest.js'), '-i', 'passing'])
  failuresIn(await run(folder, [tool('jest/bin/jest.js'), '-i', 'failing'], { fails: true }))
}

async function jestModules() {
  const config = `export default { transform: {}, testMatch: ['**/*.test.mjs'], moduleFileExtensions: ['js', 'cjs', 'mjs', 'json'], watchman: false }`
  const folder = project('jest-esm', {
    'jest.config.js': config,
    'passing.test.mjs': jestEsm + passing(jest),
    'failing.test.mjs': jestEsm + failing.replaceAll('FN', jest.fn),
  })
  const start = ['--experimental-vm-modules', tool('jest/bin/jest.js'), '-i']
  await run(folder, [...start, 'passing'])
  failuresIn(await run(folder, [...start, 'failing'], { fails: true }))
}

async function vitest() {
  const names = `'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate', 'performance', 'Date', 'queueMicrotask'`
  const its = {
    fn: 'vi.fn()',
    fake: `vi.useFakeTimers({ toFake: [${names}] })`,
    advance: 'vi.advanceTimersByTimeAsync(ms)',
    real: 'vi.useRealTimers()',
  }
  const head = `${esm}import { expect, test, vi } from 'vitest'\n`
  const folder = project('vitest', {
    'vitest.config.mjs': `export default { cacheDir: 'cache', test: { include: ['*.test.mjs'] } }`,
    'passing.test.mjs': head + passing(its),
    'failing.test.mjs': head + failing.replaceAll('FN', its.fn),
  })
  const start = [tool('vitest/vitest.mjs'), 'run']
  await run(folder, [...start, 'passing'])
  failuresIn(await run(folder, [...start, 'failing'], { fails: true }))
}

/** Sinon and Chai under Node's own runner. */
async function sinon() {
  const folder = project('sinon', {
    'passing.test.mjs': lines(
      `${esm}import assert from 'node:assert/strict'`,
      `import { test } from 'node:test'`,
      `import sinon from 'sinon'`,
      `const { faked, kinds, live, wanted } = cases(calloff)`,
      `for (const [name, token] of Object.entries(kinds)) {`,
      `  test('a ' + name + ' token as an argument', () => {`,
      `    const double = sinon.spy()`,
      `    double('id', token)`,
      `    sinon.assert.calledWith(double, 'id', token)`,
      `    assert.ok(double.calledWithExactly('id', token))`,
      `    assert.throws(() => sinon.assert.calledWith(double, 'other', token), /expected spy to be called/)`,
      `    assert.throws(() => sinon.assert.calledWith(double, 'id', 7), /expected spy to be called/)`,
      `    assert.throws(() => sinon.assert.calledWith(double, 'id', live()), /expected spy to be called/)`,
      `    assert.ok(sinon.match({ token: sinon.match.same(token) }).test({ token }))`,
      `  })`,
      `}`,
      `test('fake timers, all of them', async () => {`,
      `  const clock = sinon.useFakeTimers()`,
      `  try { assert.equal(await faked((ms) => clock.tickAsync(ms)), wanted) } finally { clock.restore() }`,
      `})`,
    ),
  })
  await run(folder, ['--test', 'passing.test.mjs'])
}

async function chai() {
  const folder = project('chai', {
    'passing.test.mjs': lines(
      `${esm}import { test } from 'node:test'`,
      `import { expect } from 'chai'`,
      `const { kinds, live } = cases(calloff)`,
      `for (const [name, token] of Object.entries(kinds)) {`,
      `  test('a ' + name + ' token compared', () => {`,
      `    expect(token).to.equal(token)`,
      `    expect(token).to.deep.equal(token)`,
      `    expect({ token }).to.deep.include({ token })`,
      `    expect([token]).to.have.members([token])`,
      `    expect(token).to.not.deep.equal({})`,
      `    expect(() => expect(token).to.equal(live())).to.throw(/expected/)`,
      `    expect(() => expect([token]).to.deep.equal([7])).to.throw(/expected/)`,
      `  })`,
      `}`,
      `test('two tokens are unequal, even if they look alike', () => {`,
      `  expect(live()).to.not.deep.equal(live())`,
      `  expect(live()).to.not.deep.equal(live().cancel())`,
      `})`,
    ),
  })
  await run(folder, ['--test', 'passing.test.mjs'])
}

async function nodeAssert() {
  const folder = project('node-assert', {
    'passing.test.mjs': lines(
      `${esm}import assert from 'node:assert/strict'`,
      `import { mock, test } from 'node:test'`,
      `const { kinds, live } = cases(calloff)`,
      `for (const [name, token] of Object.entries(kinds)) {`,
      `  test('a ' + name + ' token compared', () => {`,
      `    const double = mock.fn()`,
      `    double('id', token)`,
      `    assert.deepEqual(double.mock.calls[0].arguments, ['id', token])`,
      `    assert.throws(() => assert.equal(token, live()), { code: 'ERR_ASSERTION' })`,
      `    assert.throws(() => assert.deepEqual({ token }, { token: 7 }), { code: 'ERR_ASSERTION' })`,
      `  })`,
      `}`,
      `test('two tokens are unequal, even if they look alike', () => {`,
      `  assert.notDeepEqual(live(), live())`,
      `  assert.notDeepEqual(live(), live().cancel())`,
      `})`,
    ),
  })
  await run(folder, ['--test', 'passing.test.mjs'])
}

const quick = true
export const runners = [
  { name: 'Jest', package: 'jest', quick, checks: { CommonJS: jestCommonJs, 'ES modules': jestModules } },
  { name: 'Vitest', package: 'vitest', quick, checks: { 'doubles, assertions, fake timers': vitest } },
  { name: 'Sinon', package: 'sinon', quick, checks: { 'doubles, fake timers': sinon } },
  { name: 'Chai', package: 'chai', quick, checks: { assertions: chai } },
  {
    name: 'node:assert',
    package: () => process.versions.node,
    quick,
    checks: { 'doubles of node:test, assertions': nodeAssert },
  },
]
