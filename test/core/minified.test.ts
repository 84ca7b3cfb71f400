/** What a bundler renames is not what texts say. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { build, type BuildOptions } from 'esbuild'

const folder = mkdtempSync(join(tmpdir(), 'calloff-minified-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const program = `
  import { allOf, anyOf, ConditionToken, CounterToken, DefaultToken, from, NEVER, SimpleToken, TimeoutToken } from 'calloff'
  import { SharedToken } from 'calloff/threads'
  import { ProcessSignalToken } from 'calloff/node'
  import { inspect } from 'node:util'
  const token = new SimpleToken({ name: 'a' })
  const signal = new AbortController().signal
  const tokens = [
    token, new SimpleToken(token), anyOf(token, token), NEVER, new DefaultToken(), new TimeoutToken(5), new CounterToken(3),
    new ConditionToken(() => false), new SharedToken(), new ProcessSignalToken('SIGTERM'), allOf(token, signal), from(signal),
    token.grace(5), new SimpleToken({ cancelled: true }),
  ]
  console.log(JSON.stringify(tokens.flatMap((one) => [String(one), inspect(one).split(/[( ]/)[0]])))
  const { error } = new TimeoutToken(0)
  console.log(JSON.stringify([error.name, error.message, token.cancel('why').error.name, token.error.kind]))
`

test('texts, drawings and errors of a minified program read as those of a plain one', async () => {
  const root = fileURLToPath(new URL('..', import.meta.resolve('calloff')))
  const entry = join(folder, 'entry.mjs')
  writeFileSync(entry, program)
  const printed: string[] = []
  for (const minify of [false, true]) {
    const outfile = join(folder, `${minify ? 'small' : 'plain'}.mjs`)
    const options = {
      bundle: true,
      format: 'esm' as const,
      platform: 'node' as const,
      external: ['tinyexec', '@nats-io/*'],
    } satisfies BuildOptions
    await build({
      ...options,
      entryPoints: [entry],
      outfile,
      minify,
      nodePaths: [],
      absWorkingDir: root,
      alias: aliases(root),
    })
    printed.push(execFileSync(process.execPath, [outfile], { encoding: 'utf8', cwd: root }))
  }
  assert.equal(printed[1], printed[0])
  assert.match(printed[1] ?? '', /SimpleToken\(SimpleToken\(\{ name: 'a' \}\)\)/)
})

const aliases = (root: string) => ({
  'calloff/threads': join(root, 'dist/threads/index.js'),
  'calloff/node': join(root, 'dist/node/index.js'),
  calloff: join(root, 'dist/index.js'),
})
