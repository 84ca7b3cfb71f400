import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from '../installed.mjs'

/** The parts of the site: the folders of the docs. */
export const parts = ['Learn', 'Guides', 'Reference', 'Internals']

/** Where the reference of the public surface is written, inside of docs. */
export const apiFolder = 'reference/api'

const docs = join(root, 'docs')

/** The pages under docs, with paths relative to it. */
export function pagesOf(folder = docs) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.md') && !path.startsWith('.') && !path.startsWith('public/'))
    .toSorted()
}

/** The path of a page on the site: a README is the index of its folder, and the one of docs the list of all pages. */
export const placeOf = (page) =>
  page === 'README.md' ? 'all-pages.md' : page.replace(/(^|\/)README\.md$/, '$1index.md')

/** The address of a page, without the base of the site. */
export const addressOf = (page) => `/${placeOf(page)}`.replace(/\.md$/, '').replace(/\/index$/, '/')

/** The headings of docs/README.md, each with the pages that are linked under it. */
export function groups() {
  const found = []
  for (const line of readFileSync(join(docs, 'README.md'), 'utf8').split('\n')) {
    const heading = /^##+ (.*)$/.exec(line)?.[1]
    if (heading !== undefined) found.push({ heading, links: [] })
    for (const [, text, page] of line.matchAll(/\[([^\]]*)\]\(([^)#]+\.md)\)/g)) {
      const name = text.replaceAll('`', '')
      if (!page.startsWith('..')) found.at(-1)?.links.push({ text: name[0].toUpperCase() + name.slice(1), page })
    }
  }
  return found.filter(({ links }) => links.length > 0)
}

/** The sidebar of each part: the links of docs/README.md that lead into its folder, under the headings that they have there. */
export function sidebar() {
  const all = groups()
  const listed = new Set(all.flatMap(({ links }) => links.map(({ page }) => page)))
  const rest = pagesOf().filter((page) => !listed.has(page) && page.includes('/'))
  const item = ({ text, page }) => {
    // A README has the pages that the list leaves out, those of its folder, below it.
    const folder = dirname(page)
    const below = page.endsWith('README.md') ? rest.filter((one) => one.startsWith(`${folder}/`) && !isApi(one)) : []
    if (below.length === 0) return { text, link: addressOf(page) }
    return {
      text,
      link: addressOf(page),
      collapsed: true,
      items: below.map((one) => item({ text: titleOf(one), page: one })),
    }
  }
  return Object.fromEntries(
    parts.map((part) => {
      const folder = part.toLowerCase()
      const sections = all.map(({ heading, links }) => ({
        text: heading,
        items: links.filter(({ page }) => page.startsWith(`${folder}/`)).map(item),
      }))
      const api = rest.filter((page) => isApi(page) && folder === 'reference' && !page.endsWith('/index.md'))
      sections.push({ text: 'The public surface', items: api.map((page) => item({ text: titleOf(page), page })) })
      return [`/${folder}/`, sections.filter(({ items }) => items.length > 0)]
    }),
  )
}

/** The links at the top, one for each part that has pages: to its first one. */
export function navigation() {
  return Object.entries(sidebar()).flatMap(([folder, [first]]) => {
    const link = first?.items[0].link
    const text = parts.find((part) => folder === `/${part.toLowerCase()}/`)
    return link === undefined ? [] : [{ text, link, activeMatch: `^${folder}` }]
  })
}

export const isApi = (page) => page.startsWith(`${apiFolder}/`)

export function titleOf(page) {
  const title = /^# (.*)$/m.exec(readFileSync(join(docs, page), 'utf8'))?.[1] ?? page
  return title.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll(/[`\\]/g, '')
}
