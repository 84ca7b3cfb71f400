import { existsSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { root } from '../installed.mjs'
import { addressOf } from './index.mjs'

const { repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
/** The address of the repository's pages, if the manifest has one. */
export const repositoryAddress = (repository?.url ?? repository)?.replace(/^git\+/, '').replace(/\.git$/, '')

/**
 * Where a link of a page leads on the site. `page` is relative to docs. A link to another file of the repository leads to the
 * repository's pages; undefined where there are none.
 */
export function resolveLink(href, page) {
  if (/^(?:[a-z]+:|\/|#)/i.test(href)) return href
  const [path, anchor] = href.split('#')
  const target = posix.join('docs', posix.dirname(page), path)
  const hash = anchor === undefined ? '' : `#${anchor}`
  const inDocs = target.startsWith('docs/') ? target.slice('docs/'.length) : undefined
  const readme = posix.join(inDocs ?? '', 'README.md')
  if (inDocs?.endsWith('.md')) return addressOf(inDocs) + hash
  if (inDocs !== undefined && existsSync(join(root, 'docs', readme))) return addressOf(readme) + hash
  if (inDocs !== undefined && existsSync(join(root, target)) && statSync(join(root, target)).isFile()) return href
  return outside(target, hash)
}

function outside(target, hash) {
  if (repositoryAddress === undefined) return undefined
  const isFolder = statSync(join(root, target)).isDirectory()
  return `${repositoryAddress}/${isFolder ? 'tree' : 'blob'}/main/${target.replace(/\/$/, '')}${hash}`
}

/** Makes markdown-it resolve the links of each page so. */
export function linkPlugin(md, sourceOf) {
  md.core.ruler.push('calloff-links', ({ tokens, env }) => {
    const page = sourceOf(env)
    for (const { children } of tokens) {
      const dropped = []
      for (const token of children ?? []) {
        if (token.type === 'link_close' && dropped.pop()) [token.type, token.tag] = ['text', '']
        if (token.type !== 'link_open') continue
        const href = resolveLink(decodeURI(token.attrGet('href')), page)
        dropped.push(href === undefined)
        if (href === undefined) [token.type, token.tag, token.attrs, token.content] = ['text', '', null, '']
        else token.attrSet('href', href)
      }
    }
  })
}

/** A page as Markdown, with links that lead to the Markdown of other pages. */
export function markdownOf(page, base) {
  const text = readFileSync(join(root, 'docs', page), 'utf8')
  const resolved = (href) => {
    const target = resolveLink(href, page)
    if (target === undefined || !target.startsWith('/')) return target ?? href
    return base + toMarkdown(target).slice(1)
  }
  // Not inside of code.
  return text
    .split(/(^```[^]*?^```)/m)
    .map((part, at) => (at % 2 === 1 ? part : part.replaceAll(/\]\(([^)\s]+)\)/g, (_, href) => `](${resolved(href)})`)))
    .join('')
}

/** `/guides/threads#anchor` becomes `/guides/threads.md#anchor`. */
function toMarkdown(address) {
  const [path, anchor] = address.split('#')
  const file = path.endsWith('/') ? `${path}index.md` : `${path}.md`
  return anchor === undefined ? file : `${file}#${anchor}`
}
