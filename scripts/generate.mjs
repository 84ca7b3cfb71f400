// `npm run generate` writes everything in the repository that is written by a program: the page for operators in
// src/http/page-text.ts, the help in docs/reference/cli, the picture of two terminals, the pictures of docs/diagrams, the reports of the public surface in api/, what npm leaves out of lock files, the tables of the benchmarks from their
// results. With --check it writes nothing, and fails where a file that can be compared is not up to date. `api`: the reports alone.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { page, withTable } from '../bench/report/page.mjs'
import { build } from './build.mjs'
import { apiReports } from './generate/api-reports.mjs'
import { cliPages } from './generate/cli-pages.mjs'
import { diagrams } from './generate/diagrams.mjs'
import { operatorsPage } from './generate/page.mjs'
import { lockFiles } from './generate/lock-files.mjs'
import { terminalPicture, treePicture } from './generate/terminal-picture.mjs'
import { ensureInstalled, root } from './installed.mjs'

const isCheck = process.argv.includes('--check')

const textOf = (path) => (existsSync(`${root}/${path}`) ? readFileSync(`${root}/${path}`, 'utf8') : undefined)
const isOfApi = process.argv.includes('api')

ensureInstalled()
// The build compiles it.
if (!isOfApi) write(operatorsPage())
if (!build({ ifStale: true, only: ['library'] })) process.exit(1)

const files = [
  // They take as long as all the rest together, so the check of all the rest leaves them to a check of their own.
  ...(isOfApi || !isCheck ? apiReports() : []),
  ...(isOfApi
    ? []
    : [
        ...cliPages(),
        ...diagrams(),
        ...lockFiles(),
        ['docs/internals/benchmarks.md', page()],
        ['README.md', withTable(textOf('README.md'))],
      ]),
]
const hasTmux = spawnSync('tmux', ['-V']).status === 0
// Process numbers are to be seen in it, which differ each time.
if (!isCheck && !isOfApi && hasTmux) files.push(...(await terminalPicture()), ...(await treePicture()))
if (!isCheck && !isOfApi && !hasTmux)
  console.error('calloff: tmux is not installed, so the pictures of docs/reference/cli stay as they are')

write(files)

/** Writes those that differ; with --check it reports them. */
function write(files) {
  for (const [path, text] of files) {
    if (textOf(path) === text) continue
    if (isCheck) {
      console.error(`${path} is not up to date: npm run generate`)
      process.exitCode = 1
    } else {
      mkdirSync(dirname(`${root}/${path}`), { recursive: true })
      writeFileSync(`${root}/${path}`, text)
      console.log(`${path} written`)
    }
  }
}
