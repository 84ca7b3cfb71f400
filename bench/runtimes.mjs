// The runtimes a run can choose from, and how one task is started on each.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../runtimes/', import.meta.url))
const platform = `${process.platform}-${process.arch}`
const executable = process.platform === 'win32' ? '.exe' : ''
const libc = process.platform === 'linux' ? '-glibc' : ''
const binary = (...path) => join(folder, 'node_modules', ...path)

/** @typedef {{ key: string, command: string, flags: string[] }} Runtime */

const nodeFlags = ['--expose-gc', '--no-warnings', '--max-old-space-size=6144']
const thisMajor = Number(process.versions.node.split('.')[0])

/** The running Node, then those of the folder `runtimes`. @type {Runtime[]} */
const known = [
  { key: `node${thisMajor}`, command: process.execPath, flags: nodeFlags },
  ...[22, 24, 26]
    .filter((major) => major !== thisMajor)
    .map((major) => ({
      key: `node${major}`,
      command: binary(`node-${major}-${platform}`, 'bin', `node${executable}`),
      flags: nodeFlags,
    })),
  {
    key: 'bun',
    command: binary(
      '@oven',
      `bun-${platform.replace('arm64', 'aarch64').replace('win32', 'windows')}`,
      'bin',
      `bun${executable}`,
    ),
    flags: ['run'],
  },
  {
    key: 'deno',
    command: binary('@deno', `${platform}${libc}`, `deno${executable}`),
    flags: ['run', '--allow-all', '--no-lock', '--quiet', '--v8-flags=--expose-gc,--max-old-space-size=6144'],
  },
]

/** What the targets speak of. */
const all = ['node20', 'node24', 'node26', 'bun', 'deno']

/**
 * The runtimes of an argument such as `bun,deno` or `all`; the running Node if there is none.
 *
 * @param {string | undefined} wanted
 * @returns {Runtime[]}
 */
export function choose(wanted) {
  if (wanted === undefined) return known.slice(0, 1)
  const keys = wanted === 'all' ? all.filter((key) => known.some((one) => one.key === key)) : wanted.split(',')
  return keys.map((key) => {
    const found = known.find((one) => one.key === key)
    if (!found) {
      const names = [...known.map((one) => one.key), 'all'].join(', ')
      throw new Error(
        `there is no runtime "${key}" here; there are ${names} (another Node: start the benchmark with it)`,
      )
    }
    return found
  })
}

/** Whether it still has to be installed. @param {Runtime} runtime */
export const isMissing = ({ command }) => !existsSync(command)

/** @param {Runtime} runtime */
export function versionOf({ command }) {
  const text = execFileSync(command, ['--version'], { encoding: 'utf8' })
  return /\d+\.\d+\.\d+/.exec(text)?.[0] ?? '?'
}

/**
 * Runs a module of this folder with one argument, in a process of its own.
 *
 * @returns {Promise<{ output: string, complaint: string, isLate: boolean }>}
 */
export function start(runtime, file, argument, timeout) {
  const { NODE_OPTIONS: _options, ...env } = process.env
  const settings = {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: { ...env, NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1', DENO_NO_PROMPT: '1' },
    timeout,
    killSignal: /** @type {const} */ ('SIGKILL'),
    maxBuffer: 2 ** 26,
  }
  return new Promise((done) => {
    execFile(runtime.command, [...runtime.flags, file, argument], settings, (error, stdout, stderr) =>
      done({ output: stdout, complaint: stderr, isLate: error?.killed === true }),
    )
  })
}
