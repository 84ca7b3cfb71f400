import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { root } from '../installed.mjs'

/** The pages docs/reference/cli/NAME.md, each with the help of its command as the first block. Needs the built library. */
export function cliPages() {
  const names = readdirSync(`${root}/docs/reference/cli`).filter((file) => file.endsWith('.md') && file !== 'README.md')
  return names.map((file) => {
    const path = `docs/reference/cli/${file}`
    const args = [`${root}/dist/bin/calloff.js`, file.replace('.md', ''), '--help']
    const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`there is no command for ${path}`)
    const page = readFileSync(`${root}/${path}`, 'utf8')
    return [path, page.replace(/```text\n[^]*?```/, () => `\`\`\`text\n${stdout}\`\`\``)]
  })
}
