import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { validateWorkflow } from '@action-validator/core'
import { parser } from 'keep-a-changelog'
import { parse } from 'yaml'
import { runtimes } from '../node/programs.js'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly homepage: string
  readonly bugs: { readonly url: string }
  readonly repository: { readonly url: string }
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>
  readonly scripts: Readonly<Record<string, string>>
}

interface Step {
  readonly uses?: string
  readonly run?: string
}

interface Workflow {
  readonly permissions: Readonly<Record<string, string>>
  readonly jobs: Readonly<
    Record<string, { readonly permissions?: Readonly<Record<string, string>>; readonly steps: readonly Step[] }>
  >
}

interface Form {
  readonly body: readonly {
    readonly type: string
    readonly id?: string
    readonly attributes: { readonly label?: string }
  }[]
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const manifest = JSON.parse(read('package.json')) as Manifest
const address = manifest.repository.url.replace(/^git\+|\.git$/g, '')
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter(Boolean)
const papers = tracked.filter((path) => /\.(?:json|md|mjs|svg|ts|ya?ml)$/.test(path) && existsSync(join(root, path)))

describe('the address of the project', () => {
  it('stands in package.json; its page and its list of faults are there', () => {
    assert.match(address, /^https:\/\/github\.com\/[\w-]+\/[\w-]+$/)
    assert.deepEqual([manifest.homepage, manifest.bugs.url], [`${address}#readme`, `${address}/issues`])
  })

  it('is the same wherever it is written', () => {
    const [, name = ''] = /\/([\w-]+)$/.exec(address) ?? []
    const links = papers.flatMap((path) =>
      Array.from(read(path).matchAll(new RegExp(`https://github\\.com/[\\w-]+/${name}\\b`, 'g')), ([link]) => ({
        path,
        link,
      })),
    )
    assert.deepEqual(
      links.filter(({ link }) => link !== address),
      [],
    )
    for (const path of ['SECURITY.md', 'CODE_OF_CONDUCT.md', '.github/ISSUE_TEMPLATE/config.yml']) {
      assert.ok(
        links.some((link) => link.path === path),
        path,
      )
    }
  })
})

describe('jsr.json', () => {
  const jsr = JSON.parse(read('jsr.json')) as Manifest & { readonly exports: Readonly<Record<string, string>> }

  it('has the name, the version, the license and the sub-paths of package.json, as sources', () => {
    const wanted = Object.entries(manifest.exports).flatMap(([path, target]) =>
      typeof target === 'string' ? [] : [[path, target.default.replace('/dist/', '/src/').replace(/\.js$/, '.ts')]],
    )
    assert.deepEqual(jsr.exports, Object.fromEntries(wanted))
    for (const source of Object.values(jsr.exports)) assert.ok(existsSync(join(root, source)), source)
    assert.match(jsr.name, new RegExp(`^@[\\w-]+/${manifest.name}$`))
    assert.deepEqual([jsr.version, jsr.license], [manifest.version, manifest.license])
  })

  const deno = runtimes.find(({ name }) => name === 'Deno')
  it('passes the dry run of JSR, with explicit types for all that is exported', { skip: deno?.skip }, () => {
    const { status, stdout, stderr } = spawnSync(deno?.command ?? '', ['publish', '--dry-run', '--allow-dirty'], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' },
    })
    assert.equal(status, 0, stdout + stderr)
    const sent = Array.from(stderr.matchAll(/^ +file:.*?\/([\w.-]+(?:\/[\w.-]+)*) \(/gm), ([, path = '']) => path)
    assert.ok(sent.some((path) => path.endsWith('src/index.ts')) && sent.some((path) => path.endsWith('README.md')))
    assert.ok(!sent.some((path) => /\/(?:cli|test|examples|node_modules)\//.test(path)), sent.join(' '))
  })
})

describe('the reports of the public surface', () => {
  it('are there for each sub-path that exports something', () => {
    const paths = Object.entries(manifest.exports).filter(
      ([path, target]) => typeof target !== 'string' && !path.endsWith('/worker'),
    )
    const names = paths.map(([path]) => (path === '.' ? manifest.name : path.slice(2).replaceAll('/', '-')))
    assert.deepEqual(readdirSync(join(root, 'api')).toSorted(), names.map((name) => `${name}.api.md`).toSorted())
  })
})

describe('the changelog', () => {
  const text = read('CHANGELOG.md')
  const changelog = parser(text)
  const [unreleased, ...released] = changelog.releases

  it('begins with the list of changes that are not released', () => {
    assert.equal(unreleased?.version, undefined)
    assert.ok(released.every(({ version, date }) => version !== undefined && date !== undefined))
  })

  it('has the version of package.json as the newest that was released, if any was', () => {
    assert.equal(released[0]?.version ?? manifest.version, manifest.version)
  })

  it('loses no line when `npm version` writes it', () => {
    const items = (page: string) =>
      page
        .split('\n')
        .filter((line) => line.startsWith('- '))
        .toSorted()
    assert.deepEqual(items(changelog.toString()), items(text))
  })
})

describe('the files of the repository for GitHub', () => {
  const files = tracked.filter((path) => path.startsWith('.github/') && existsSync(join(root, path)))
  const yaml = files.filter((path) => path.endsWith('.yml'))
  const workflows = yaml.filter((path) => path.startsWith('.github/workflows/'))
  const forms = yaml.filter((path) => /ISSUE_TEMPLATE\/(?!config)/.test(path))
  const workflow = (path: string) => parse(read(path)) as Workflow

  it('are there', () => assert.deepEqual([workflows.length, forms.length], [2, 2]))

  for (const path of yaml)
    it(`${path} is YAML`, () => assert.equal(typeof parse(read(path), { strict: true }), 'object'))

  for (const path of files) {
    it(`${path} names scripts and files that exist`, () => {
      const text = read(path)
      for (const [, name = ''] of text.matchAll(/\bnpm (?:run (?:--silent )?|test -- )([\w:-]+)/g)) {
        assert.ok(manifest.scripts[name] !== undefined, `there is no script ${name}`)
      }
      const named = [
        ...text.matchAll(/(?<![\w./-])((?:\.ci|scripts|docs)\/[\w./-]*\w)/g),
        ...text.matchAll(/\b([A-Z_]+\.md)\b/g),
      ]
      for (const [, name = ''] of named) assert.ok(existsSync(join(root, name)), `there is no file ${name}`)
    })
  }

  for (const path of workflows) {
    it(`${path} fits the schema of workflows`, () => {
      assert.deepEqual((validateWorkflow(read(path)) as { readonly errors: unknown[] }).errors, [])
    })

    it(`${path} runs .ci/run, with actions that are pinned to a commit, and few permissions`, () => {
      const { permissions, jobs } = workflow(path)
      assert.deepEqual(permissions, { contents: 'read' })
      const steps = Object.values(jobs).flatMap((job) => job.steps)
      assert.ok(steps.some(({ run }) => run === '.ci/run'))
      for (const { uses } of steps) if (uses !== undefined) assert.match(uses, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/)
      for (const [, pin] of read(path).matchAll(/uses: (.*)$/gm)) assert.match(pin ?? '', / # v\d+\.\d+\.\d+$/)
      for (const [name, job] of Object.entries(jobs)) {
        const wanted = name === 'publish' ? { contents: 'read', 'id-token': 'write' } : undefined
        assert.deepEqual(job.permissions, wanted, name)
      }
    })
  }

  for (const path of forms) {
    it(`${path} has fields with a label and an id of their own`, () => {
      const fields = (parse(read(path)) as Form).body.filter(({ type }) => type !== 'markdown')
      assert.equal(new Set(fields.map(({ id }) => id)).size, fields.length)
      for (const { id, attributes } of fields) assert.ok(id !== undefined && attributes.label !== undefined, id)
    })
  }

  it('ask for what `calloff --version --json` prints', () => {
    assert.match(read('.github/ISSUE_TEMPLATE/bug.yml'), /calloff --version --json/)
  })
})
