// `npm run pack`: writes the package as it is published to build/package, or to the folder that is named. From there
// `npm publish` takes it.
//
// It has the files that npm would pack. Two of them differ: package.json has nothing that only this repository needs, and the links of
// the README are absolute, since registries and mirrors show it alone. The docs are in the package, so their links stay relative, and
// work offline, unless they lead to a file that is not packed.
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import { build } from './build.mjs'
import { ensureInstalled, root } from './installed.mjs'

const {
  scripts: _scripts,
  devDependencies: _tools,
  overrides: _overrides,
  allowScripts: _allowed,
  ...manifest
} = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))

/** The page of the project. The only place that has it is `repository` in package.json. */
export const address = manifest.repository.url.replace(/^git\+|\.git$/g, '')

/** The address of a file or a folder of the repository in this version. A picture is itself, and not the page around it. */
function addressOf(path) {
  let view = statSync(join(root, path)).isDirectory() ? 'tree' : 'blob'
  if (/\.(?:png|svg)$/.test(path)) view = 'raw'
  return `${address}/${view}/v${manifest.version}/${path}`
}

/** The text of a page with absolute links wherever a relative one leads to nothing for the reader. */
function withAbsoluteLinks(page, isReachable) {
  return readFileSync(join(root, page), 'utf8').replaceAll(
    /(\]\(|(?:src|href)=")([^)"\s#]+)(?=[)"\s#])/g,
    (all, before, link) => {
      if (/^[a-z]+:/.test(link)) return all
      const path = posix.join(posix.dirname(page), link).replace(/\/$/, '')
      return isReachable(path) || !existsSync(join(root, path)) ? all : before + addressOf(path)
    },
  )
}

/** Writes the package to a folder, which is emptied first. Needs the built library. */
export function stage(folder) {
  const flags = ['pack', '--dry-run', '--json', '--ignore-scripts', '--loglevel=error']
  const shell = process.platform === 'win32'
  const [{ files }] = JSON.parse(execFileSync('npm', flags, { cwd: root, encoding: 'utf8', shell }))
  const paths = files.map(({ path }) => path)
  const isPacked = (path) => paths.some((one) => one === path || one.startsWith(`${path}/`))
  rmSync(folder, { recursive: true, force: true })
  for (const path of paths) {
    const target = join(folder, path)
    mkdirSync(dirname(target), { recursive: true })
    if (path === 'package.json') writeFileSync(target, `${JSON.stringify(manifest, null, 2)}\n`)
    else if (path === 'README.md')
      writeFileSync(
        target,
        withAbsoluteLinks(path, () => false),
      )
    else if (path.endsWith('.md')) writeFileSync(target, withAbsoluteLinks(path, isPacked))
    else copyFileSync(join(root, path), target)
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const folder = process.argv[2] ?? join(root, 'build', 'package')
  ensureInstalled()
  if (!build({ ifStale: true, only: ['library'] })) process.exit(1)
  stage(folder)
  console.log(`The package is in ${folder}`)
}
