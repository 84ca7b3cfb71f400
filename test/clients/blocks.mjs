/** The code blocks of a page that need the clients: each runs in a process of its own, and prints what it says. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const folder = fileURLToPath(new URL('node_modules/.docs/', import.meta.url))

/** The `mjs` blocks of a page of docs/guides. */
export function blocksOf(page) {
  const text = readFileSync(new URL(`../../docs/guides/${page}.md`, import.meta.url), 'utf8')
  return [...text.matchAll(/^```mjs\n(.*?)^```$/gms)].map(([, code]) => code)
}

/** Writes a block to a file beside the clients, under a name of its own. Returns the path. */
export function fileOf(name, code) {
  mkdirSync(folder, { recursive: true })
  const file = `${folder}${name}.mjs`
  writeFileSync(file, code)
  return file
}

/** Runs a block, and compares what it prints with its `// →` lines. What follows an ellipsis is not compared. */
export async function checkBlock(name, code, env = {}) {
  const { stdout } = await promisify(execFile)(process.execPath, [fileOf(name, code)], {
    env: { ...process.env, ...env },
  })
  const printed = stdout.trim() === '' ? [] : stdout.trim().split('\n')
  const promised = [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, text]) => text)
  assert.equal(printed.length, promised.length, stdout)
  for (const [line, text] of promised.entries()) {
    const [start] = text.split('…')
    assert.ok(
      text.includes('…') ? printed[line].startsWith(start) : printed[line] === text,
      `${printed[line]}, not ${text}`,
    )
  }
}
