import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Block, blocksOf } from './blocks.js'

/** The blocks of the README, of all pages under docs, and of the doc comments of all sources. */
export function blocksOfProject(root: string): Block[] {
  return [
    ...(existsSync(join(root, 'README.md')) ? ['README.md'] : []),
    ...filesUnder(root, 'docs', '.md'),
    ...filesUnder(root, 'src', '.ts'),
  ].flatMap((file) => blocksOf(file, readFileSync(join(root, file), 'utf8')))
}

function filesUnder(root: string, folder: string, ending: string): string[] {
  if (!existsSync(join(root, folder))) return []
  return (
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith(ending))
      .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
      // What the site makes of the doc comments: they are here already.
      .filter((name) => !name.startsWith('docs/reference/api/'))
      .toSorted()
  )
}
