import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const under = (folder: string, ending: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => `${folder}/${file.replaceAll('\\', '/')}`)
    .filter((file) => !file.startsWith('docs/reference/api/'))
const pages = [...under('docs', '.md'), 'README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'examples/README.md']

/** Anchors as the sites that show Markdown make them of headings. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of read(page)
    .replace(/```[^]*?```/g, '')
    .matchAll(/^#+ (.*)$/gm)) {
    const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const anchor = text.replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-')
    let unique = anchor
    for (let i = 1; anchors.has(unique); i++) unique = `${anchor}-${i}`
    anchors.add(unique)
  }
  return anchors
}

describe('the links of all pages', () => {
  for (const page of pages) {
    it(`${page}: each leads to a file, and to a heading of it`, () => {
      const wrong: string[] = []
      for (const [, link = ''] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(link)) continue
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? page : join(dirname(page), path)
        if (!existsSync(join(root, target))) wrong.push(link)
        else if (anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor)) wrong.push(link)
      }
      assert.deepEqual(wrong, [])
    })
  }
})

describe('the index of the docs', () => {
  it('leads to every page', () => {
    const linked = new Set(Array.from(read('docs/README.md').matchAll(/\]\(([^)#]+)\)/g), ([, path]) => `docs/${path}`))
    const apart = /^docs\/(README\.md|index\.md|reference\/cli\/(?!README)|internals\/decisions\/)/
    assert.deepEqual(
      under('docs', '.md').filter((page) => !apart.test(page) && !linked.has(page)),
      [],
    )
  })
})

describe('the map of the internals', () => {
  const map = read('docs/internals/README.md')

  it('names files that exist', () => {
    const folders = ['', 'src/', 'src/remote/', 'src/node/', 'src/cli/']
    const named = Array.from(map.matchAll(/`([\w-]+(?:\/[\w-]+)+\.ts)`/g), ([, file = '']) => file)
    assert.ok(named.length > 30)
    assert.deepEqual(
      named.filter((file) => !folders.some((folder) => existsSync(join(root, folder, file)))),
      [],
    )
  })

  it('lists every file with invariants, and no prefix stands for two files', () => {
    const found = new Map<string, string>()
    for (const file of under('src', '.ts')) {
      for (const [, prefix = ''] of read(file).matchAll(/^ \* ([A-Z]{1,2})\d+\. /gm)) {
        assert.ok([undefined, file].includes(found.get(prefix)), `${prefix} is in ${found.get(prefix)} and in ${file}`)
        found.set(prefix, file)
      }
    }
    const rows = Array.from(map.matchAll(/^\| ([A-Z]{1,2}) \| \[[^\]]*\]\(\.\.\/\.\.\/([^)]*)\)/gm))
    const listed = new Map(rows.map(([, prefix = '', file = '']) => [prefix, file]))
    assert.deepEqual(
      Object.fromEntries(listed),
      Object.fromEntries([...listed.keys()].map((key) => [key, found.get(key)])),
    )
    assert.deepEqual([...listed.keys()].toSorted(), [...found.keys()].toSorted())
  })
})
