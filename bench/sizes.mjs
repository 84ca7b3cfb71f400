// What an import adds to a bundle: `node bench/sizes.mjs` prints the table of docs/reference/support.md. Bundled and minified by
// esbuild for a browser, then gzip. calloff is taken as built, the peers as installed in this folder. A test compares calloff's rows.
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../', import.meta.url))

export const imports = [
  [`import { SimpleToken } from 'calloff'`, 'a token'],
  [`import { TimeoutToken, isCancellation } from 'calloff'`, 'a deadline, and its error told apart'],
  [`import { isCancellation } from 'calloff'`, 'no token: tells cancellations from failures'],
  [`import * as all from 'calloff'`, 'the whole core: scopes, retry, race, …'],
  [`import { SharedToken } from 'calloff/threads'`, 'a token for worker threads; the core is included'],
  [`import CancellationToken from 'cancellationtoken'`, 'a token'],
  [`import { CancelToken } from '@esfx/async-canceltoken'`, 'a token'],
  [`import { CancellationTokenSource } from 'vscode-jsonrpc/browser'`, 'its tokens come with its protocol'],
  [`import { anySignal } from 'any-signal'`, '`AbortSignal.any` for older platforms'],
  [`import { abortable, delay } from 'abort-controller-x'`, 'helpers for `AbortSignal`'],
  [`import { CAF } from 'caf'`, 'cancellable generators'],
  [`import { run } from 'effection'`, 'structured concurrency by generators'],
  [`import { Effect } from 'effect'`, 'one fiber; a runtime of its own', 'Effect.runFork(Effect.never)'],
]

/** The bytes that the import adds to a bundle. Without `use`, all names that it imports are kept. */
export async function sizeOf(line, use) {
  const [, names] = /^import (.*) from/.exec(line)
  const kept = use ?? names.replace(/^\* as /, '').replaceAll(/[{}]/g, '')
  const { outputFiles } = await build({
    stdin: {
      contents: `${line}\nglobalThis.kept = [${kept}]`,
      resolveDir: line.includes("'calloff") ? root : `${root}bench`,
    },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    external: ['node:*'],
    logLevel: 'error',
  })
  const code = outputFiles[0].contents
  return { minified: code.length, zipped: gzipSync(code, { level: 9 }).length }
}

/** Kilobytes, as the page writes them. */
export const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log('| import | | minified | gzip |\n| --- | --- | ---: | ---: |')
  for (const [line, what, use] of imports) {
    try {
      const { minified, zipped } = await sizeOf(line, use)
      console.log(`| \`${line.replace(/^import /, '')}\` | ${what} | ${kB(minified)} | ${kB(zipped)} |`)
    } catch (error) {
      console.error(`${line}: ${error.message}`)
    }
  }
}
