/** Opens a link in the browser of the user. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import { makeOwnFolder } from '../../system/runtime-folder.js'

/**
 * Opens the link, if there is a display. Returns whether it has tried to.
 *
 * The link contains the token, and all users of a machine can read the arguments of each other's programs. So the browser is
 * given a file that only this user can read, which leads to the link.
 */
export function openBrowser(link: string): boolean {
  const opener = openerOf(process.platform, process.env)
  if (opener === undefined) return false
  const file = join(makeOwnFolder(), 'page-link.html')
  writeFileSync(file, `<!doctype html><meta http-equiv="refresh" content="0; url=${link}"><title>calloff</title>\n`, {
    mode: 0o600,
  })
  const [command, ...args] = opener
  const child = spawn(command, [...args, pathToFileURL(file).href], { detached: true, stdio: 'ignore' })
  // Without a browser, the user has the link: it is printed, too.
  child.once('error', () => {})
  child.unref()
  return true
}

/** Returns the program that opens files as the user has chosen; undefined without a display. */
function openerOf(
  platform: NodeJS.Platform,
  env: NodeJS.ProcessEnv,
): readonly [command: string, ...args: string[]] | undefined {
  if (platform === 'darwin') return ['open']
  if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler']
  return env['DISPLAY'] || env['WAYLAND_DISPLAY'] ? ['xdg-open'] : undefined
}
