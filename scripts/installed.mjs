import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The project's folder, without a slash at the end. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')

/** Says what is going on where it takes long: on standard error, since standard output is for what was asked for. */
export function announce(what) {
  console.error(`calloff: ${what} …`)
}

/** Stops with one line if the development dependencies are missing and cannot be installed. */
export function ensureInstalled() {
  // npm writes this file when it is through with all of them.
  if (existsSync(`${root}/node_modules/.package-lock.json`)) return
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
