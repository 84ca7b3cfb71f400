// Bundlers: build the programs from the packed package, run what comes out, and find the same as without a bundler.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { findOnPage, html, pageOf, project, run, runtime, sameEverywhere, sameOnNode, Skip, tool } from './kit.mjs'

const bun = () => {
  const found = runtime(/^@oven\/bun-/, 'bin/bun')
  if (found === undefined) throw new Skip('Bun is not installed: npm ci --prefix runtimes')
  return found
}

const script = (lines) => lines.join('\n')

async function esbuild(name, flags, file = 'app.js') {
  const folder = project(name)
  const common = ['app=app.mjs', 'hub-worker=hub-worker.mjs', '--bundle', '--platform=node', '--outdir=out', ...flags]
  const said = await run(folder, [...common, '--log-level=warning'], { command: tool('.bin/esbuild') })
  // It says that a bundle of CommonJS has no import.meta, and nothing else.
  assert.doesNotMatch(said.replaceAll(/empty-import-meta/g, ''), /ERROR|Could not resolve/)
  const ending = file.slice(3)
  const worker = join(folder, 'out', `hub-worker${ending}`)
  return sameOnNode(join(folder, 'out'), file, { HUB_WORKER: worker })
}

async function bunBuild(name, flags, how = {}) {
  const folder = project(name)
  const command = bun()
  await run(folder, ['build', './app.mjs', './hub-worker.mjs', '--outdir', 'out', ...flags], { command })
  return sameOnNode(join(folder, 'out'), 'app.js', { HUB_WORKER: join(folder, 'out', 'hub-worker.js'), ...how })
}

const rollup = (more) =>
  script([
    `import { nodeResolve } from '@rollup/plugin-node-resolve'`,
    `import commonjs from '@rollup/plugin-commonjs'`,
    more.includes('minify') ? `import { minify } from 'terser'` : '',
    `const terser = { name: 'terser', renderChunk: (code, _, { format }) => minify(code, { module: format === 'es' }) }`,
    `export default {`,
    `  ${more}`,
    `  onwarn(warning, warn) { if (warning.code !== 'UNRESOLVED_IMPORT') warn(warning) },`,
    `}`,
  ])

const webpack = (more) =>
  script([
    `import { fileURLToPath } from 'node:url'`,
    `const path = fileURLToPath(new URL('out', import.meta.url))`,
    `export default { mode: 'production', performance: { hints: false }, ${more} }`,
  ])

const webpackProgram = (config) =>
  script([
    `import webpack from '${tool('webpack/lib/index.js')}'`,
    `import config from './webpack.config.mjs'`,
    `webpack(config, (error, stats) => {`,
    `  const { errors = [] } = stats?.toJson({ all: false, errors: true }) ?? {}`,
    `  if (error || errors.length > 0) {`,
    `    console.error(error ?? errors.map(({ message }) => message).join('\\n'))`,
    `    process.exitCode = 1`,
    `  }`,
    `})`,
    `// ${config}`,
  ])

/** A server that is ended when the page was seen. */
async function serving(folder, args, url, see) {
  const server = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = []
  server.stdout.on('data', (text) => output.push(text))
  server.stderr.on('data', (text) => output.push(text))
  const ended = new Promise((resolve) => server.once('close', resolve))
  try {
    for (let tries = 0; ; tries++) {
      try {
        await fetch(url)
        break
      } catch (cause) {
        if (server.exitCode !== null || tries > 300) {
          throw new Error(`it does not serve ${url}: ${Buffer.concat(output)}`, { cause })
        }
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
    return await see()
  } finally {
    server.kill('SIGKILL')
    await ended
  }
}

async function freePort() {
  const { createServer } = await import('node:net')
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function metro(name, exports) {
  const node = runtime(/^node-(24|26)-/, 'bin/node')
  if (node === undefined) throw new Skip('Metro needs Node 22 or newer: npm ci --prefix runtimes')
  const folder = project(name, {
    'babel.config.cjs': `module.exports = { presets: [require.resolve('${tool('@react-native/babel-preset')}')] }`,
    'rn.js': `import './page.mjs'\nconst print = () => globalThis.found ? console.log('found ' + globalThis.found) : setTimeout(print, 20)\nprint()`,
    'build.cjs': script([
      `const Metro = require('${tool('metro')}')`,
      `async function main() {`,
      `  const defaults = await Metro.loadConfig({ cwd: __dirname }, { projectRoot: __dirname, watchFolders: [__dirname, '${tool('')}'] })`,
      `  const config = Metro.mergeConfig(defaults, {`,
      `    cacheStores: [], reporter: { update() {} },`,
      `    resolver: { unstable_enablePackageExports: ${exports}, sourceExts: ['js', 'mjs', 'json'], nodeModulesPaths: ['${tool('')}'], useWatchman: false },`,
      `    transformer: { babelTransformerPath: '${tool('metro-babel-transformer')}' },`,
      `  })`,
      `  await Metro.runBuild(config, { entry: 'rn.js', out: 'out.js', dev: false, minify: true, platform: 'ios' })`,
      `}`,
      `main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })`,
    ]),
  })
  await run(folder, ['build.cjs'], { command: node })
  return folder
}

export const bundlers = [
  {
    name: 'esbuild',
    package: 'esbuild',
    quick: true,
    checks: {
      'for Node, ESM, minified': () =>
        esbuild('esbuild-esm', ['--format=esm', '--minify', '--out-extension:.js=.mjs'], 'app.mjs'),
      'for Node, CommonJS': () => esbuild('esbuild-cjs', ['--format=cjs', '--out-extension:.js=.cjs'], 'app.cjs'),
      'a page, minified': async () => {
        const folder = project('esbuild-page', { 'out/index.html': html('page.js') })
        const args = ['page.mjs', '--bundle', '--minify', '--format=esm', '--outdir=out', '--log-level=error']
        await run(folder, args, { command: tool('.bin/esbuild') })
        await sameEverywhere(await pageOf(join(folder, 'out')))
      },
    },
  },
  {
    name: 'bun build',
    package: () => JSON.parse(readFileSync(join(bun(), '..', '..', 'package.json'), 'utf8')).version,
    quick: true,
    checks: {
      'for Node, minified': () => bunBuild('bun-node', ['--target=node', '--minify']),
      'for Bun': () => bunBuild('bun-bun', ['--target=bun'], { command: bun() }),
      'a page, minified': async () => {
        const folder = project('bun-page', { 'out/index.html': html('page.js') })
        const args = ['build', './page.mjs', '--outdir', 'out', '--target=browser', '--minify']
        await run(folder, args, { command: bun() })
        await sameEverywhere(await pageOf(join(folder, 'out')))
      },
    },
  },
  {
    name: 'Rollup',
    package: 'rollup',
    checks: {
      'for Node, with terser': async () => {
        const input = `input: ['app.mjs', 'hub-worker.mjs'], plugins: [nodeResolve({ preferBuiltins: true }), commonjs(), terser],`
        const more = `${input} external: /^node:/, output: { dir: 'out', format: 'es', entryFileNames: '[name].mjs' }, // minify`
        const folder = project('rollup-node', { 'rollup.config.mjs': rollup(more) })
        await run(folder, [tool('rollup/dist/bin/rollup'), '-c', '--silent'])
        return sameOnNode(join(folder, 'out'), 'app.mjs', { HUB_WORKER: join(folder, 'out', 'hub-worker.mjs') })
      },
      'a page, with terser': async () => {
        const more = `input: 'page.mjs', plugins: [nodeResolve({ browser: true }), terser], output: { file: 'out/page.js', format: 'es' }, // minify`
        const files = { 'rollup.config.mjs': rollup(more), 'out/index.html': html('page.js') }
        const folder = project('rollup-page', files)
        await run(folder, [tool('rollup/dist/bin/rollup'), '-c', '--silent'])
        await sameEverywhere(await pageOf(join(folder, 'out')))
      },
    },
  },
  {
    name: 'webpack',
    package: 'webpack',
    checks: {
      'for Node': async () => {
        const more = `target: 'node20', entry: { app: './app.mjs' }, output: { path, filename: '[name].cjs', chunkFilename: '[id].cjs' },`
        const folder = project('webpack-node', {
          'webpack.config.mjs': webpack(more),
          'build.mjs': webpackProgram('node'),
        })
        await run(folder, ['build.mjs'])
        return sameOnNode(join(folder, 'out'), 'app.cjs')
      },
      'for Node, ESM': async () => {
        const output = `output: { path, filename: '[name].mjs', chunkFilename: '[id].mjs', module: true, chunkFormat: 'module', library: { type: 'module' } }`
        const more = `target: 'node20', experiments: { outputModule: true }, entry: { app: './app.mjs' }, ${output}`
        const folder = project('webpack-esm', {
          'webpack.config.mjs': webpack(more),
          'build.mjs': webpackProgram('esm'),
        })
        await run(folder, ['build.mjs'])
        return sameOnNode(join(folder, 'out'), 'app.mjs')
      },
      'a page': async () => {
        const more = `target: 'web', entry: './page.mjs', output: { path, filename: 'page.js' },`
        const folder = project('webpack-page', {
          'webpack.config.mjs': webpack(more),
          'build.mjs': webpackProgram('page'),
          'out/index.html': html('page.js'),
        })
        await run(folder, ['build.mjs'])
        await sameEverywhere(await pageOf(join(folder, 'out')))
      },
    },
  },
  {
    name: 'Parcel',
    package: 'parcel',
    checks: {
      'a page': async () => {
        const folder = project('parcel-page', { 'index.html': html('page.mjs') })
        await run(folder, [tool('parcel/lib/bin.js'), 'build', 'index.html', '--no-cache', '--dist-dir', 'out'])
        await sameEverywhere(await pageOf(join(folder, 'out')))
      },
      'for Node, packages outside of the bundle': async () => {
        const target = { source: 'app.mjs', distDir: 'out', context: 'node', outputFormat: 'esmodule' }
        // It knows no import that may fail, so packages stay outside of the bundle, as they do by default for Node.
        const more = { engines: { node: '>= 20' }, optimize: true }
        const folder = project('parcel-node', {}, { targets: { default: { ...target, ...more } } })
        await run(folder, [tool('parcel/lib/bin.js'), 'build', '--no-cache'])
        const file = readdirSync(join(folder, 'out')).find((name) => /^app.*js$/.test(name))
        return sameOnNode(join(folder, 'out'), file)
      },
    },
  },
  {
    name: 'Vite',
    package: 'vite',
    // It reads the version of Node that it runs on as it is: 20.19 and newer.
    checks: {
      'a page': async () => {
        const folder = project('vite-page', { 'index.html': html('/page.mjs') })
        await run(folder, [tool('vite/bin/vite.js'), 'build', '--outDir', 'out', '--logLevel', 'warn'])
        await sameEverywhere(await pageOf(join(folder, 'out')))
      },
      'for Node (ssr), everything bundled': async () => {
        const config = `export default { ssr: { noExternal: true }, build: { outDir: 'out', minify: true } }`
        const folder = project('vite-ssr', { 'vite.config.mjs': config })
        const args = [tool('vite/bin/vite.js'), 'build', '--ssr', 'app.mjs', '--logLevel', 'warn']
        await run(folder, args)
        const file = readdirSync(join(folder, 'out')).find((name) => /^app\.m?js$/.test(name))
        return sameOnNode(join(folder, 'out'), file)
      },
      'a page, served in development': async () => {
        const port = await freePort()
        const headers = `{ 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }`
        const config = `export default { server: { host: '127.0.0.1', port: ${port}, strictPort: true, headers: ${headers} } }`
        const folder = project('vite-dev', { 'index.html': html('/page.mjs'), 'vite.config.mjs': config })
        const url = `http://127.0.0.1:${port}/`
        await serving(folder, [tool('vite/bin/vite.js')], url, async () => sameEverywhere(await findOnPage(url)))
      },
    },
  },
  {
    name: 'Next.js',
    package: 'next',
    checks: Object.fromEntries(
      ['--webpack', '--turbopack'].map((flag) => [
        `a page and a route, built and served (${flag})`,
        async () => {
          const headers = `[{ key: 'Cross-Origin-Opener-Policy', value: 'same-origin' }, { key: 'Cross-Origin-Embedder-Policy', value: 'require-corp' }]`
          const folder = project(`next${flag}`, {
            'next.config.mjs': `export default { headers: async () => [{ source: '/:path*', headers: ${headers} }] }`,
            'app/layout.js': `export default ({ children }) => <html><body>{children}</body></html>`,
            'app/page.js': `'use client'\nimport { useEffect } from 'react'\nexport default function Page() { useEffect(() => { import('../page.mjs') }, []); return <p>calloff</p> }`,
            'app/found/route.js': script([
              `import { everyday } from '../../everyday.mjs'`,
              `import { onNode } from '../../on-node.mjs'`,
              `export const dynamic = 'force-dynamic'`,
              `export const GET = async () => Response.json({ ...(await everyday()), ...(await onNode()) })`,
            ]),
          })
          // It takes no links that lead out of the project.
          for (const name of [
            'next',
            'react',
            'react-dom',
            'styled-jsx',
            '@next',
            '@swc',
            'scheduler',
            'client-only',
          ]) {
            if (existsSync(tool(name))) {
              cpSync(tool(name), join(folder, 'node_modules', name), { recursive: true, dereference: true })
            }
          }
          const next = join(folder, 'node_modules', 'next', 'dist', 'bin', 'next')
          await run(folder, [next, 'build', flag])
          const port = await freePort()
          const url = `http://127.0.0.1:${port}/`
          return serving(folder, [next, 'start', '-H', '127.0.0.1', '-p', String(port)], url, async () => {
            await sameEverywhere(await findOnPage(url))
            const response = await fetch(`${url}found`)
            writeFileSync(join(folder, 'found.mjs'), `console.log(${JSON.stringify(`found ${await response.text()}`)})`)
            return sameOnNode(folder, 'found.mjs')
          })
        },
      ]),
    ),
  },
  {
    name: 'Metro, with the React Native preset',
    package: 'metro',
    checks: {
      ...Object.fromEntries(
        [true, false].map((exports) => [
          `a program, ${exports ? 'with' : 'without'} package exports`,
          async () => {
            const folder = await metro(`metro-${exports}`, exports)
            const found = /^found (.*)$/m.exec(await run(folder, ['out.js']))
            await sameEverywhere(found?.[1] ?? 'nothing was found')
          },
        ]),
      ),
      'a program, where AbortSignal.any is missing': async () => {
        const folder = await metro('metro-any', true)
        writeFileSync(join(folder, 'bare.cjs'), 'delete AbortSignal.any')
        const found = /^found (.*)$/m.exec(await run(folder, ['-r', './bare.cjs', 'out.js']))
        await sameEverywhere(found?.[1] ?? 'nothing was found')
      },
    },
  },
]
