// Puts in place what a run needs: the peers, calloff as users get it, the runtimes. Nothing of it is in a plain install.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { bundleCommandLine } from '../scripts/build.mjs'
import { ensureInstalled, root } from '../scripts/installed.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))

function npmCi(folder) {
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  return status === 0
}

/** Whether what is installed is what the manifest asks for. */
function arePeersThere() {
  const { dependencies } = JSON.parse(readFileSync(`${here}package.json`, 'utf8'))
  return Object.entries(dependencies).every(([name, version]) => {
    const manifest = `${here}node_modules/${name}/package.json`
    return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === version
  })
}

export function installPeers() {
  if (arePeersThere()) return
  console.log('installing the peers (about 80 MB, in a folder of their own) …')
  if (!npmCi(here)) throw new Error('the peers could not be installed')
}

/**
 * Compiles calloff to where a package manager would put it. A run measures this copy, so that a build or an edit
 * in the meantime does not change what is measured half-way.
 */
export function installCalloff() {
  ensureInstalled()
  const target = `${here}node_modules/calloff`
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  copyFileSync(`${root}/package.json`, `${target}/package.json`)
  const tsc = `${root}/node_modules/typescript/bin/tsc`
  const flags = ['-p', 'tsconfig.build.json', '--outDir', `${target}/dist`]
  const { status } = spawnSync(process.execPath, [tsc, ...flags], { cwd: root, stdio: 'inherit' })
  if (status === 0) bundleCommandLine(`${target}/dist`)
  if (status !== 0) throw new Error('calloff does not compile (see above), so nothing was measured')
}

export function installRuntimes() {
  console.log('installing the runtimes (about 800 MB, in a folder of their own) …')
  npmCi(`${root}/runtimes`)
}
