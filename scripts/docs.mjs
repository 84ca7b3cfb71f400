// `npm run docs` builds the site of docs/ into build/site, a folder of static files. `npm run docs:dev` shows it while pages are
// written, `npm run docs:preview` serves what is built, with the headers that shared memory needs: [port].
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from './build.mjs'
import { apiFolder } from './docs/index.mjs'
import { announce, ensureInstalled, root } from './installed.mjs'

const [command = 'build', port = '4173'] = process.argv.slice(2)
const site = join(root, 'build', 'site')
const docs = join(root, 'docs')

ensureInstalled()
if (command === 'preview') {
  if (!existsSync(site)) throw new Error('there is no site yet: npm run docs')
  const { serve } = await import('./docs/serve.mjs')
  const { address } = await serve(site, Number(port))
  console.log(address)
} else {
  // The pages run the package as it is built.
  if (!build({ ifStale: true, only: ['library'] })) process.exit(1)
  announce('writing the reference from the doc comments')
  rmSync(join(docs, apiFolder), { recursive: true, force: true })
  const { writeReference } = await import('./docs/reference.mjs')
  await writeReference()
  const vitepress = await import('vitepress')
  if (command === 'dev') {
    const server = await vitepress.createServer(docs, { port: Number(port) })
    await server.listen()
    server.printUrls()
  } else {
    announce('building the site')
    await vitepress.build(docs)
  }
}
