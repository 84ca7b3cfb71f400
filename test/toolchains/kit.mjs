// What the tool chains are tried with: an empty project that has the packed package, a way to run a program, and a browser.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { symlinkSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { delimiter, dirname, extname, join } from 'node:path'
import process from 'node:process'
import { chromium } from 'playwright-core'
import { root } from '../../scripts/installed.mjs'
import { stage } from '../../scripts/pack.mjs'
import { runTree } from '../../scripts/tree.mjs'

/** Where `npm ci` has put the tools: a folder of its own, without the packages that are optional for calloff. */
export const tools = join(root, 'toolchains', 'node_modules')
const programs = join(root, 'test', 'toolchains', 'programs')
/** Milliseconds that one program may take. */
const LIMIT = 600_000

/** A thing that cannot be tried here, and why. */
export class Skip extends Error {}

/** The version of an installed tool, or of what stands under that name. */
export function versionOf(name) {
  const file = join(tools, name, 'package.json')
  if (!existsSync(file)) throw new Skip(`${name} is not installed: npm ci --prefix toolchains`)
  return JSON.parse(readFileSync(file, 'utf8')).version
}

export function tool(path) {
  return join(tools, path)
}

/** A program of `runtimes/`, or undefined. */
export function runtime(pattern, file) {
  const names = readdir(join(root, 'runtimes', 'node_modules'))
  const name = names.find((one) => pattern.test(one))
  return name === undefined ? undefined : join(root, 'runtimes', 'node_modules', name, file)
}

function readdir(folder) {
  if (!existsSync(folder)) return []
  return execFileSync('ls', [folder], { encoding: 'utf8' })
    .split('\n')
    .flatMap((name) => (name.startsWith('@') ? readdir(join(folder, name)).map((one) => `${name}/${one}`) : name))
}

/** What does not belong to the machine: npm's settings, colours, and a token that the script itself may have. */
const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0', NEXT_TELEMETRY_DISABLED: '1' }
delete env.CALLOFF_PARENT
delete env.NODE_OPTIONS

/** Runs a program of Node to its end. Returns what it printed; fails if it fails, or leaves a process behind. */
export async function run(cwd, args, { command = process.execPath, fails = false, ...more } = {}) {
  const { code, output, isLate, left } = await runTree(command, args, {
    cwd,
    limit: LIMIT,
    ...more,
    env: { ...env, ...more.env },
  })
  const what = args.join(' ').replaceAll(root, '')
  assert.ok(!isLate, `${what} did not end:\n${output.slice(-4_000)}`)
  assert.equal(code !== 0, fails, `${what} ended with ${code}:\n${output.slice(-4_000)}`)
  assert.deepEqual(left, [])
  return output
}

/** The folder that all projects are in. */
export const place = mkdtempSync(join(tmpdir(), 'calloff-toolchains-'))
process.on('exit', () => {
  if (process.env.CALLOFF_KEEP === undefined) rmSync(place, { recursive: true, force: true })
})

/** Puts the package, as it would be published, where all projects have it from. */
export function pack() {
  stage(join(place, 'package'))
  symlinkSync(tools, join(place, 'node_modules'))
}

/** An empty project with the package, the programs, and more files. */
export function project(name, files = {}, { type = 'module', ...manifest } = {}) {
  const folder = join(place, name)
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  cpSync(join(place, 'package'), join(folder, 'node_modules', 'calloff'), { recursive: true })
  cpSync(join(root, 'node_modules', 'tinyexec'), join(folder, 'node_modules', 'tinyexec'), { recursive: true })
  cpSync(programs, folder, { recursive: true })
  const own = JSON.stringify({ name: 'consumer', version: '1.0.0', private: true, type, ...manifest })
  for (const [path, text] of Object.entries({ 'package.json': own, ...files })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), typeof text === 'string' ? text : JSON.stringify(text))
  }
  return folder
}

/** What a program of `programs/` has printed or left on its page. */
export function foundIn(output) {
  const line = /^.*?found (\{.*)$/m.exec(output)?.[1]
  assert.ok(line !== undefined, `nothing was found: ${output.slice(-4_000)}`)
  return JSON.parse(line)
}

let plain
/** What the programs find without any tool, on Node. */
export async function reference() {
  plain ??= run(project('plain'), ['app.mjs']).then(foundIn)
  return plain
}

/** That a built program for Node finds the same as the plain one. Returns how its background hubs have come off. */
export async function sameOnNode(folder, file, { command, args = [], ...more } = {}) {
  const { background, ...found } = foundIn(await run(folder, [...args, file], { command, env: more }))
  const { background: _, ...wanted } = await reference()
  assert.deepEqual(found, wanted)
  assert.ok(['from the hub', 'ERR_HUB_WORKER'].includes(background.plain), background.plain)
  if (more.HUB_WORKER !== undefined) assert.equal(background.worker, 'from the hub')
  return background.plain === 'from the hub' ? 'background hubs work' : 'background hubs need `worker`'
}

/** The same for what is to run everywhere. */
export async function sameEverywhere(text) {
  const { background: _, node: __, ...wanted } = await reference()
  assert.ok(text.startsWith('{'), text)
  assert.deepEqual(JSON.parse(text), wanted)
}

const mimes = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css' }

let browser
async function open() {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  const folders = (process.env.PATH ?? '').split(delimiter)
  const paths = [process.env.CHROME_PATH ?? '', ...folders.flatMap((folder) => names.map((name) => join(folder, name)))]
  const executablePath = paths.find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return path !== ''
    } catch {
      return false
    }
  })
  if (executablePath === undefined) throw new Skip('no Chromium is installed')
  return chromium.launch({ executablePath, chromiumSandbox: false })
}

export async function closeBrowser() {
  await (await browser?.catch(() => undefined))?.close()
}

/** What a page finds. */
export async function findOnPage(url) {
  const page = await (await (browser ??= open())).newPage()
  const problems = []
  page.on('pageerror', (error) => problems.push(String(error)))
  try {
    await page.goto(url)
    await page.waitForFunction('globalThis.found !== undefined', undefined, { timeout: 60_000 })
    return await page.evaluate('globalThis.found')
  } catch (cause) {
    throw new Error(`the page found nothing; ${problems.join('; ')}`, { cause })
  } finally {
    await page.close()
  }
}

/** What the page of a folder finds, served with the headers that shared memory needs. */
export async function pageOf(folder) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const path = join(folder, pathname === '/' ? 'index.html' : pathname)
    if (!existsSync(path)) return response.writeHead(404).end()
    response.setHeader('cross-origin-opener-policy', 'same-origin')
    response.setHeader('cross-origin-embedder-policy', 'require-corp')
    response.setHeader('content-type', mimes[extname(path)] ?? 'application/octet-stream')
    return response.end(readFileSync(path))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    return await findOnPage(`http://127.0.0.1:${server.address().port}/`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

export const html = (script) =>
  `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module" src="${script}"></script>`
