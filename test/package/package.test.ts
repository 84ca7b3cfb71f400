import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { checkBlocks, type Outcome } from '../docs/check.js'
import { blocksOfProject } from '../docs/pages.js'
import { effort, sample } from '../effort.js'

interface Manifest {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly name: string
  readonly repository: { readonly url: string }
  readonly version: string
}

interface Packed {
  readonly filename: string
  readonly files: readonly { readonly path: string }[]
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'))
const manifest = read(join(root, 'package.json')) as Manifest
const project = mkdtempSync(join(tmpdir(), 'calloff-consumer-'))
const installed = join(project, 'node_modules', manifest.name)
const typeRoots = join(root, 'node_modules', '@types')
const specifiers = Object.keys(manifest.exports).map((path) => path.replace('.', manifest.name))
const modules = specifiers.filter((specifier) => !specifier.endsWith('.json'))
// The programs of our threads export nothing.
const least = (specifier: string): number => (specifier.endsWith('/worker') ? 0 : 1)

const npm = (...args: string[]): string =>
  execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error', '--ignore-scripts'], {
    cwd: project,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
const node = (...args: string[]): string =>
  execFileSync(process.execPath, args, { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
// As `npm run pack` does, in a folder of its own.
const staged = join(project, 'staged')
execFileSync(process.execPath, [join(root, 'scripts', 'pack.mjs'), staged])
const [packed] = JSON.parse(npm('pack', staged, '--json')) as [Packed]
const paths = packed.files.map(({ path }) => path)
npm('install', `./${packed.filename}`)
const dependencies = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))
// Only one entry point needs it, and says so by itself.
const otelApi = join('node_modules', '@opentelemetry', 'api')
cpSync(join(root, otelApi), join(project, otelApi), { recursive: true })
cpSync(join(root, 'test', 'package', 'consumer'), join(project, 'src'), { recursive: true })

// The code blocks are run before the first test is registered: tests start at once, and would be over meanwhile.
// The project is empty, so an example that needs another package beside calloff is left out here.
const needsMore = /\bfrom '(?!calloff|node:)/
const blocks = blocksOfProject(root).filter(({ file, code }) => file.endsWith('.md') && !needsMore.test(code))
// They have been run in the project itself, by test:docs: so here they are in CI alone.
const modes = effort >= 1 ? (['ts', 'js'] as const) : []
const documented: { mode: string; outcomes: Outcome[] }[] = []
for (const mode of modes) documented.push({ mode, outcomes: await checkBlocks(blocks, { project, typeRoots, mode }) })

process.on('exit', () => rmSync(project, { recursive: true, force: true }))

describe('the packed package', () => {
  it('has everything that its exports, its source maps and its imports lead to', () => {
    const targets = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? target : Object.values(target),
    )
    for (const target of targets) assert.ok(paths.includes(target.replace('./', '')), `${target} is missing`)
    for (const path of paths.filter((name) => name.endsWith('.map'))) {
      const { sources } = read(join(installed, path)) as { sources: string[] }
      for (const source of sources) {
        assert.ok(existsSync(join(installed, dirname(path), source)), `${path} leads to ${source}, which is missing`)
      }
    }
    for (const path of paths.filter((name) => /\.(js|d\.ts)$/.test(name))) {
      const text = readFileSync(join(installed, path), 'utf8')
      for (const [, target = ''] of text.matchAll(/^(?:import|export)\b[^'"]*['"](\.\.?\/[^'"]+)['"]/gm)) {
        assert.ok(existsSync(join(installed, dirname(path), target)), `${path} imports ${target}, which is missing`)
      }
    }
  })

  it('has each source with what was built from it, the papers, and nothing else', () => {
    const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
      .map((name) => name.replaceAll('\\', '/'))
      .filter((name) => name.endsWith('.ts'))
    // The command line is bundled: its modules are in files with other names, but for the first one.
    const library = sources.filter((name) => !name.startsWith('cli/'))
    const bundled = paths.filter((name) => /^dist\/bin\/[\w-]+\.js$/.test(name))
    assert.ok(bundled.includes('dist/bin/calloff.js'))
    const built = library.flatMap((name) =>
      ['.js', '.js.map', '.d.ts', '.d.ts.map'].map((ending) => `dist/${name.replace(/\.ts$/, ending)}`),
    )
    const papers = ['CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'package.json']
    const guides = paths.filter((name) => /^(?:bench\/plots|docs|examples)\//.test(name))
    assert.ok(guides.includes('docs/reference/simple.md'))
    const fallbacks = modules
      .filter((specifier) => specifier !== manifest.name)
      .map((specifier) => `${specifier.replace(`${manifest.name}/`, '')}/package.json`)
    assert.deepEqual(
      paths.toSorted(),
      [...papers, ...guides, ...fallbacks, ...built, ...bundled, ...sources.map((name) => `src/${name}`)].toSorted(),
    )
  })

  it('has no dead link in its pages', () => {
    const pages = paths.filter((name) => name.endsWith('.md'))
    const anchors = (page: string): Set<string> => {
      const headings = readFileSync(join(installed, page), 'utf8').matchAll(/^#+ (.*)$/gm)
      const slug = (text = '') =>
        text
          .toLowerCase()
          .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
          .replaceAll(' ', '-')
      return new Set(Array.from(headings, ([, text]) => slug(text)))
    }
    const dead: string[] = []
    let count = 0
    for (const page of pages) {
      const text = readFileSync(join(installed, page), 'utf8').replaceAll(/^```[^]*?^```/gm, '')
      for (const [, link = ''] of text.matchAll(/(?:\]\(|(?:src|href)=")([^)"\s]+)/g)) {
        if (/^[a-z]+:/.test(link)) continue
        count++
        const [file = '', anchor] = link.split('#')
        const target = file === '' ? page : join(dirname(page), file).replaceAll('\\', '/').replace(/\/$/, '')
        const isThere = paths.includes(target) || paths.some((name) => name.startsWith(`${target}/`))
        if (!isThere || (anchor !== undefined && !anchors(target).has(anchor))) dead.push(`${page}: ${link}`)
      }
    }
    assert.deepEqual(dead, [])
    assert.ok(count > 60)
  })

  it('has only absolute links in its README, to what the repository has in this version', () => {
    const { repository, version } = manifest
    const address = repository.url.replace(/^git\+|\.git$/g, '')
    const readme = readFileSync(join(installed, 'README.md'), 'utf8')
    const links = Array.from(readme.matchAll(/(?:\]\(|(?:src|href)=")([^)"\s]+)/g), ([, link = '']) => link)
    assert.deepEqual(
      links.filter((link) => !/^https:\/\/|^#/.test(link)),
      [],
    )
    const own = links.filter((link) => link.startsWith(`${address}/`))
    assert.ok(own.length > 10)
    for (const link of own) {
      const [, view, path = ''] = /^\/(blob|tree|raw)\/v[^/]+\/([^#]+)/.exec(link.slice(address.length)) ?? []
      const wanted = statSync(join(root, path)).isDirectory() ? 'tree' : /\.(svg|png)$/.test(path) ? 'raw' : 'blob'
      assert.deepEqual([view, link.includes(`/v${version}/`)], [wanted, true], link)
    }
  })

  it('has a package.json without what only the repository needs', () => {
    const published = read(join(installed, 'package.json')) as object
    const whole = read(join(root, 'package.json')) as object
    const apart = new Set(['allowScripts', 'devDependencies', 'overrides', 'scripts'])
    assert.deepEqual(published, Object.fromEntries(Object.entries(whole).filter(([name]) => !apart.has(name))))
  })

  it('has for each sub-path a folder that leads to the same files, for what does not read `exports`', () => {
    for (const [path, target] of Object.entries(manifest.exports)) {
      if (typeof target === 'string') continue
      const folder = join(installed, path)
      const found = read(join(folder, 'package.json')) as Readonly<Record<string, string>>
      for (const [field, wanted] of [
        ['main', target['default']],
        ['module', target['default']],
        ['types', target['types']],
      ] as const) {
        assert.equal(join(folder, found[field] ?? ''), join(installed, wanted ?? ''), `${field} of ${path}`)
      }
    }
  })

  it('has no syntax that a preset of the field refuses', () => {
    // React Native's preset refuses static blocks, which a static field is compiled to.
    for (const path of paths.filter((name) => name.startsWith('dist/') && name.endsWith('.js'))) {
      assert.doesNotMatch(readFileSync(join(installed, path), 'utf8'), /\bstatic\s*\{/, path)
    }
  })

  it('brings one dependency along, which has none', () => {
    assert.deepEqual(dependencies, [manifest.name, 'tinyexec'])
  })

  for (const specifier of specifiers) {
    it(`lets itself be imported as ${specifier}`, () => {
      const json = specifier.endsWith('.json') ? ", { with: { type: 'json' } }" : ''
      const program = `const it = await import('${specifier}'${json}); if (Object.keys(it).length < ${least(specifier)}) process.exit(9)`
      node('--input-type=module', '-e', program)
    })
  }

  for (const specifier of modules) {
    it(`lets itself be required as ${specifier}`, () => {
      node(
        '--no-warnings',
        '--input-type=commonjs',
        '-e',
        `if (Object.keys(require('${specifier}')).length < ${least(specifier)}) process.exit(9)`,
      )
    })
  }

  for (const [url, wanted] of [
    ['redis://localhost', /redis: needs the package ioredis or redis/],
    ['postgres://localhost/db', /postgres: needs the package pg/],
  ] as const) {
    it(`says which package ${url} needs`, () => {
      const program = `const { connectHub } = await import('calloff/remote')
        await connectHub('${url}').catch(({ code, message }) => console.log(code, message))`
      const said = node('--input-type=module', '-e', program)
      assert.match(said, /^ERR_HUB_SCHEME /)
      assert.match(said, wanted)
    })
  }

  it('says which packages a hub over NATS needs', () => {
    const program = `import { connectHub } from '${manifest.name}/remote'
      connectHub('nats://127.0.0.1:1').catch((error) => console.log(error.code, error.message))`
    assert.match(node('--input-type=module', '-e', program), /^ERR_HUB_SCHEME .*@nats-io\/transport-node.*$/m)
  })

  it('has a command line, which npx finds', { skip: process.platform === 'win32' && 'sleep is for POSIX' }, () => {
    const calloff = (...args: string[]) =>
      spawnSync('npx', ['--no-install', 'calloff', ...args], { cwd: project, encoding: 'utf8' })
    const { version } = read(join(root, 'package.json')) as { version: string }
    assert.equal(calloff('--version').stdout, `${version}\n`)
    const { engines } = JSON.parse(calloff('--version', '--json').stdout) as { engines: object }
    assert.deepEqual([...new Set(Object.values(engines))], [null], 'no client of an engine is installed')
    const { status, stderr } = calloff('run', '--timeout', '1s', '--', 'sleep', '60')
    // npx may have warnings of its own to give.
    assert.deepEqual(
      [status, stderr.trim().split('\n').at(-1)],
      [124, 'calloff: sleep was cancelled after 1s (--timeout)'],
    )
  })

  it('has the programs of its threads', () => {
    const program = `import { connectHub, TokenServer } from '${manifest.name}/remote'
      import { fromParent, lendToken } from '${manifest.name}/node'
      import { SimpleToken } from '${manifest.name}'
      const server = await TokenServer.listen({ port: 0 })
      const hub = await connectHub(server.url, { background: true })
      const open = hub.open('job')
      await open.ready
      const token = new SimpleToken()
      const lent = await lendToken(token)
      Object.assign(process.env, lent.env)
      const borrowed = await fromParent({ background: true })
      token.cancel('lent')
      await hub.cancel('job', 'remote')
      console.log(open.reason, (await borrowed.wait()).cause)
      await lent.close()
      await hub.close()
      await server.close()`
    assert.equal(node('--input-type=module', '-e', program), 'remote lent\n')
  })

  it('does not let its inner files be imported', () => {
    const program = `import('${manifest.name}/dist/index.js').catch((error) => console.log(error.code))`
    assert.equal(node('--input-type=module', '-e', program).trim(), 'ERR_PACKAGE_PATH_NOT_EXPORTED')
  })
})

describe('a consumer of the packed package', { concurrency: 2 }, () => {
  const strict = {
    target: 'es2022',
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    isolatedModules: true,
    // The package's own declarations are to be sound under the consumer's settings too.
    skipLibCheck: false,
    typeRoots: [typeRoots],
  }
  const programs = [
    { file: 'root.ts', types: [], module: 'nodenext' },
    { file: 'root.ts', types: [], module: 'esnext', moduleResolution: 'bundler' },
    { file: 'node.ts', types: ['node'], module: 'nodenext' },
    { file: 'bare.ts', types: [], lib: ['es2022'], module: 'nodenext' },
  ]
  const compilers = ['typescript-7', 'typescript', 'typescript-5.9']
  for (const compiler of sample(compilers)) {
    const folder = join(root, 'node_modules', compiler)
    const { version } = read(join(folder, 'package.json')) as { version: string }
    for (const { file, ...settings } of programs) {
      it(`compiles ${file} with TypeScript ${version}, module ${settings.module}`, async () => {
        const config = `tsconfig.${version}-${settings.module}-${file}.json`
        const compilerOptions = { ...strict, ...settings }
        writeFileSync(join(project, config), JSON.stringify({ compilerOptions, files: [`src/${file}`] }))
        const run = promisify(execFile)(process.execPath, [join(folder, 'bin', 'tsc'), '-p', config], { cwd: project })
        await run.catch((error: unknown) => assert.fail((error as { stdout?: string }).stdout ?? String(error)))
      })
    }
  }
})

for (const { mode, outcomes } of documented) {
  describe(`in an empty project with the packed package, as ${mode === 'ts' ? 'TypeScript' : 'JavaScript'}`, () => {
    for (const { block, problem } of outcomes) {
      it(`runs ${block.file}:${block.line}`, () => assert.ok(problem === undefined, problem))
    }
  })
}
