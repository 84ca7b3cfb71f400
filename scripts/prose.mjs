// `npm run check:prose`: finds phrases that are banned from code, tests and pages, and fails where a file has more of them than
// scripts/prose/allowed.json allows. That file may only shrink: `npm run check:prose -- --update` writes the counts of now, and
// refuses to where there are more of them in all.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { root } from './installed.mjs'

/** Each with what to write. The name of the product is one word, so `calloff` is none of them. */
const banned = [
  [/\b(?:who|whom)ever\b/gi, 'a role: the caller, the listener, the holder'],
  [/\b(?:some|no|any|every)body(?:['’]s)?\b/gi, 'a role: the caller, the listener, the holder; or "no one"'],
  [/\ba look\b/gi, 'a read, or the name of what is read'],
  [/\bcall(?:ed|s|ing)? off\b/gi, 'cancelled'],
  [/\bof what\b/gi, 'the name of the thing'],
]
const list = 'scripts/prose/allowed.json'

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => /^(?:src|test|examples|docs|scripts)\/.*\.(?:[cm]?[jt]s|md)$|^\w+\.md$/.test(path))
  .filter((path) => path !== 'scripts/prose.mjs' && existsSync(`${root}/${path}`))

/** What is found, by file. */
const found = new Map()
for (const path of files) {
  const places = []
  for (const [at, line] of readFileSync(`${root}/${path}`, 'utf8').split('\n').entries()) {
    for (const [pattern, instead] of banned) {
      for (const [phrase] of line.matchAll(pattern)) places.push(`${path}:${at + 1}  "${phrase}": write ${instead}`)
    }
  }
  if (places.length > 0) found.set(path, places)
}

const allowed = existsSync(`${root}/${list}`) ? JSON.parse(readFileSync(`${root}/${list}`, 'utf8')) : undefined
const sum = (counts) => counts.reduce((before, count) => before + count, 0)
const now = sum([...found.values()].map(({ length }) => length))
const before = allowed === undefined ? Infinity : sum(Object.values(allowed))

if (process.argv.includes('--update')) {
  if (now > before) {
    console.error(`${now} banned phrases are found, ${before} are allowed: the number may only become smaller`)
    process.exit(1)
  }
  const counts = Object.fromEntries([...found].map(([path, { length }]) => [path, length]))
  writeFileSync(`${root}/${list}`, `${JSON.stringify(counts, null, 2)}\n`)
  console.log(`${list}: ${now} allowed`)
} else {
  // A file that was moved takes its allowance along.
  const moved = new Map(
    Object.entries(allowed ?? {}).flatMap(([path, count]) =>
      existsSync(`${root}/${path}`) ? [] : [[basename(path), count]],
    ),
  )
  for (const [path, places] of found) {
    const most = allowed?.[path] ?? moved.get(basename(path)) ?? 0
    if (places.length <= most) continue
    console.error(places.join('\n'))
    console.error(`${path} has ${places.length} of them, ${most} are allowed (${list})\n`)
    process.exitCode = 1
  }
  if (process.exitCode === undefined && now < before) {
    console.log(`${before - now} fewer than allowed: npm run check:prose -- --update`)
  }
}
