import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The project's folder, without a slash at the end. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '')

/** Stops with one line if the development dependencies are missing and cannot be installed. */
export function ensureInstalled() {
  if (existsSync(`${root}/node_modules/typescript/package.json`)) return
  console.error('calloff: the development dependencies are not installed yet; running `npm ci` first …')
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  if (status === 0) return
  console.error('calloff: `npm ci` failed, so nothing was run. Run `npm install` and try again.')
  process.exit(1)
}
