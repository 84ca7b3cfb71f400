// Run by `npm version`, after it has written the new version into package.json: writes it into jsr.json, and gives the unreleased list
// of CHANGELOG.md this version and the date of today. A version without a change is refused.
import { readFileSync, writeFileSync } from 'node:fs'
import { parser, Release } from 'keep-a-changelog'
import { root } from './installed.mjs'
import { address } from './pack.mjs'

const read = (file) => readFileSync(`${root}/${file}`, 'utf8')
const { version } = JSON.parse(read('package.json'))

const changelog = parser(read('CHANGELOG.md'))
const [unreleased] = changelog.releases
if (unreleased.version !== undefined || unreleased.isEmpty()) throw new Error('CHANGELOG.md has no unreleased change')
unreleased.setVersion(version)
unreleased.setDate(new Date())
changelog.addRelease(new Release())
changelog.format = 'markdownlint'
changelog.url = address
writeFileSync(`${root}/CHANGELOG.md`, changelog.toString())

writeFileSync(`${root}/jsr.json`, read('jsr.json').replace(/"version": ".*"/, `"version": "${version}"`))
