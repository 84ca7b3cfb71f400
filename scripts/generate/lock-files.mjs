import { readFileSync } from 'node:fs'
import { root } from '../installed.mjs'

const platform =
  /\b(?<os>android|darwin|freebsd|linux|openharmony|win32)-(?<cpu>arm64|arm|ia32|ppc64|riscv64|s390x|x64)(?:-(?<abi>\w+))?$/

/** What npm would have written, taken from the name: `@oxlint/binding-linux-x64-musl`. */
function entryOf(name, range, isDev) {
  const version = range.replace(/^[~^]/, '')
  if (name.includes('-windows-')) return { version, ...(isDev ? { dev: true } : {}), optional: true, os: ['win32'] }
  const { os, cpu, abi = '' } = platform.exec(name)?.groups ?? {}
  if (os === undefined) throw new Error(`${name} names no platform; look at it by hand`)
  const libc = os === 'linux' ? { gnu: 'glibc', glibc: 'glibc', musl: 'musl' }[abi] : undefined
  return {
    version,
    cpu: [cpu],
    ...(isDev ? { dev: true } : {}),
    ...(libc === undefined ? {} : { libc: [libc] }),
    optional: true,
    os: [os],
  }
}

const files = ['package-lock.json', 'runtimes/package-lock.json', 'toolchains/package-lock.json']

/**
 * The lock files, with the optional packages of other platforms that npm left out, as it does with those it could not look up.
 * Without them `npm ci` refuses the lock file as incomplete. They come without a checksum: npm asks for one only of what is listed
 * with it.
 */
export function lockFiles() {
  return files.map((file) => {
    const text = readFileSync(`${root}/${file}`, 'utf8')
    const lock = JSON.parse(text)
    let isComplete = true
    for (const [path, { dev, optionalDependencies = {} }] of Object.entries(lock.packages)) {
      for (const [name, version] of Object.entries(optionalDependencies)) {
        const places = [`node_modules/${name}`, `${path}/node_modules/${name}`]
        if (places.some((place) => lock.packages[place] !== undefined)) continue
        lock.packages[places[0]] = entryOf(name, version, dev === true)
        isComplete = false
      }
    }
    if (isComplete) return [file, text]
    const sorted = Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'))
    return [file, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`]
  })
}
