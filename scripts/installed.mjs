import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The project's folder, without a slash at the end. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')

/** Says what is going on where it takes long: on standard error, since standard output is for what was asked for. */
export function announce(what) {
  console.error(`calloff: ${what} …`)
}

/** Stops with one line if the development dependencies are missing and cannot be installed. */
export function ensureInstalled() {
  // npm writes this file when it is through with all of them. A dependency may have been added since.
  const { devDependencies } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
  const isThere = (name) => existsSync(`${root}/node_modules/${name}/package.json`)
  if (existsSync(`${root}/node_modules/.package-lock.json`) && Object.keys(devDependencies).every(isThere)) return
  announce('installing the development dependencies with `npm ci`, which takes a minute or two')
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  if (status === 0) return
  console.error('calloff: `npm ci` failed, so nothing was run. Run `npm install` and try again.')
  process.exit(1)
}

/** Installs what the manifest in a folder of its own asks for, unless it is there already. Throws if it cannot be installed. */
export function ensureFolder(folder, what) {
  const { dependencies } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  const isThere = Object.entries(dependencies).every(([name, version]) => {
    const manifest = `${folder}/node_modules/${name}/package.json`
    return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === version
  })
  if (isThere) return
  announce(`installing ${what}, in a folder of their own`)
  if (!npmCi(folder)) throw new Error(`${what} could not be installed`)
}

/** Installs what the lock file in a folder asks for; true if that went well. */
export function npmCi(folder) {
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  return status === 0
}
