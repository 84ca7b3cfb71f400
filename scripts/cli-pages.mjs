// Writes the help of each command into its page, docs/cli/NAME.md: the first block of the page. A test holds them together.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { build } from './build.mjs'
import { ensureInstalled, root } from './installed.mjs'

ensureInstalled()
if (!build({ ifStale: true, only: ['library'] })) process.exit(1)
for (const file of readdirSync(`${root}/docs/cli`)) {
  if (!file.endsWith('.md') || file === 'README.md') continue
  const path = `${root}/docs/cli/${file}`
  const args = [`${root}/dist/bin/calloff.js`, file.replace('.md', ''), '--help']
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`there is no command for ${path}`)
  const page = readFileSync(path, 'utf8')
  writeFileSync(
    path,
    page.replace(/```text\n[^]*?```/, () => `\`\`\`text\n${stdout}\`\`\``),
  )
}
