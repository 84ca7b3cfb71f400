// Puts in place what a run needs: the peers, calloff as users get it, the runtimes. Nothing of it is in a plain install.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { bundleCommandLine } from '../scripts/build.mjs'
import { ensureFolder, ensureInstalled, npmCi, root } from '../scripts/installed.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))

export function installPeers() {
  ensureFolder(here, 'the peers (about 80 MB)')
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
