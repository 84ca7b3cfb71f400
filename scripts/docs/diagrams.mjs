import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { root } from '../installed.mjs'

/**
 * Puts the pictures of docs/diagrams into the pages that show them, so that they are dark or light with the page. The other
 * pictures get their size, so that the page does not move when they arrive.
 */
export function diagrams(md, sourceOf) {
  const image = md.renderer.rules.image
  md.renderer.rules.image = (tokens, at, options, env, self) => {
    const token = tokens[at]
    const path = posix.join('docs', posix.dirname(sourceOf(env)), token.attrGet('src'))
    if (!path.endsWith('.svg') || !existsSync(join(root, path))) return image(tokens, at, options, env, self)
    const svg = readFileSync(join(root, path), 'utf8')
    if (path.startsWith('docs/diagrams/')) return inlined(svg)
    const [tag] = /<svg[^>]*>/.exec(svg)
    for (const [, name, value] of tag.matchAll(/\s(width|height)="([\d.]+)"/g)) token.attrs.push([name, value])
    return image(tokens, at, options, env, self)
  }
}

/** The picture without its style sheet, which the theme has. */
function inlined(svg) {
  return svg
    .replace(/<style>[^]*?<\/style>/, '')
    .replace('class="diagram"', 'class="diagram inlined"')
    .replaceAll(/\n\s*/g, '')
}
