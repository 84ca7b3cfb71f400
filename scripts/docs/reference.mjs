import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Application } from 'typedoc'
import { root } from '../installed.mjs'
import { apiFolder } from './index.mjs'
import { slugOf } from './slug.mjs'

/** The modules of package.json's exports that have names to import: each with its source. */
function modules() {
  const { name, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return Object.entries(exports)
    .filter(([path, target]) => typeof target === 'object' && !path.endsWith('/worker'))
    .map(([path, target]) => ({
      name: name + path.slice(1),
      source: target.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts'),
    }))
}

/** Writes the reference of the public surface, from its doc comments: a page for each module. */
export async function writeReference() {
  const wanted = modules()
  // TypeDoc names a module by its path below that of all.
  const names = new Map(wanted.map(({ name, source }) => [source.replace(/^src\/|(?:\/index)?\.ts$/g, ''), name]))
  const app = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown'],
    entryPoints: wanted.map(({ source }) => join(root, source)),
    tsconfig: join(root, 'tsconfig.build.json'),
    out: join(root, 'docs', apiFolder),
    name: 'calloff',
    readme: 'none',
    router: 'module',
    entryFileName: 'index',
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    disableSources: true,
    sort: ['alphabetical'],
    groupOrder: ['Classes', 'Functions', 'Variables', 'Interfaces', 'Type Aliases'],
    hidePageHeader: true,
    hideBreadcrumbs: true,
    useCodeBlocks: true,
    parametersFormat: 'table',
    interfacePropertiesFormat: 'table',
    logLevel: 'Warn',
    skipErrorChecking: true,
  })
  const project = await app.convert()
  if (project === undefined) throw new Error('TypeDoc could not read the sources')
  for (const module of project.children ?? []) module.name = names.get(module.name) ?? module.name
  // What a class has from another one is described there.
  const inherited = Object.values(project.reflections).filter(
    ({ inheritedFrom, signatures, getSignature, setSignature }) =>
      inheritedFrom !== undefined ||
      (signatures ?? [getSignature, setSignature]).some((signature) => signature?.inheritedFrom !== undefined),
  )
  const removed = new Set(inherited)
  for (const reflection of inherited) project.removeReflection(reflection)
  for (const reflection of Object.values(project.reflections)) {
    for (const group of reflection.groups ?? []) group.children = group.children.filter((child) => !removed.has(child))
    reflection.groups = reflection.groups?.filter(({ children }) => children.length > 0)
  }
  await app.generateOutputs(project)
  mendAnchors(join(root, 'docs', apiFolder))
}

/**
 * Mends links to headings. Where a function and an interface have one name, TypeDoc numbers the second by another rule than
 * the site: the site counts headings alone. The heading that is meant is the last one of that name.
 */
function mendAnchors(folder) {
  const pages = readdirSync(folder, { recursive: true }).filter((page) => page.endsWith('.md'))
  const counts = new Map(
    pages.map((page) => [join(folder, page), countHeadings(readFileSync(join(folder, page), 'utf8'))]),
  )
  for (const [path, own] of counts) {
    const text = readFileSync(path, 'utf8')
    const mended = text.replaceAll(/\]\(([^)#\s]*)#([\w-]+?)-(\d+)\)/g, (link, page, name, number) => {
      const found = page === '' ? own : counts.get(join(path, '..', page))
      const last = (found?.get(name) ?? 0) - 1
      return last < 0 || Number(number) <= last || found.has(`${name}-${number}`)
        ? link
        : `](${page}#${last === 0 ? name : `${name}-${last}`})`
    })
    if (mended !== text) writeFileSync(path, mended)
  }
}

/** How many headings of a page have each anchor, without the numbers that tell them apart. */
function countHeadings(text) {
  const counts = new Map()
  for (const [, heading] of text.matchAll(/^#{1,6} (.*)$/gm)) {
    const slug = slugOf(heading.replaceAll('\\', ''))
    counts.set(slug, (counts.get(slug) ?? 0) + 1)
  }
  return counts
}
