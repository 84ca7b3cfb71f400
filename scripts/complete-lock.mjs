// Adds to the lock files the optional packages of other platforms that npm left out, as it does with those it could not
// look up. Without them `npm ci` refuses the lock file as incomplete. They come without a checksum: npm asks for one only
// of what is listed with it. To be run after every change of a dependency; it changes nothing in a complete lock file.
import { readFileSync, writeFileSync } from 'node:fs'
import { root } from './installed.mjs'

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

for (const file of ['package-lock.json', 'runtimes/package-lock.json', 'toolchains/package-lock.json']) {
  const lock = JSON.parse(readFileSync(`${root}/${file}`, 'utf8'))
  let added = 0
  for (const [path, { dev, optionalDependencies = {} }] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      const places = [`node_modules/${name}`, `${path}/node_modules/${name}`]
      if (places.some((place) => lock.packages[place] !== undefined)) continue
      lock.packages[places[0]] = entryOf(name, version, dev === true)
      added++
    }
  }
  if (added > 0) {
    const sorted = Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'))
    writeFileSync(`${root}/${file}`, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`)
  }
  console.log(`${file}: ${added} added`)
}
