import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { groups, pagesOf, placeOf } from './index.mjs'
import { markdownOf } from './links.mjs'

/** Puts a Markdown copy beside each page of the built site, and `llms.txt`, the list of them for programs that read pages. */
export function writeCopies(outDir, { base, title, description }) {
  // The home page is drawn; the README of the repository is its text.
  const pages = pagesOf().filter((page) => page !== 'index.md')
  for (const page of pages) {
    const path = join(outDir, placeOf(page))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, markdownOf(page, base))
  }
  const lists = groups().map(({ heading, links }) =>
    [
      `## ${heading}\n`,
      ...links.map(({ text, page }) => ['- [', text, '](', base, placeOf(page), ')'].join('')),
      '',
    ].join('\n'),
  )
  writeFileSync(join(outDir, 'llms.txt'), `# ${title}\n\n> ${description}\n\n${lists.join('\n')}`)
}
