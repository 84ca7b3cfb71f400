/** What a process tells that has the inspector, on each runtime. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import type * as askModule from '../../../dist/inspector/ask.js'
import type * as placeModule from '../../../dist/inspector/place.js'
import type { ProcessReport } from '../../../dist/inspector/report.js'
import { until } from './tree.js'

const inside = new URL('../../../../dist/inspector/', import.meta.url)
const { askProcess } = (await import(new URL('ask.js', inside).href)) as typeof askModule
const { findPlaces } = (await import(new URL('place.js', inside).href)) as typeof placeModule

const skip = process.platform === 'win32' && 'Windows has not been tried'
const isNode = !('Deno' in globalThis) && !('Bun' in globalThis)
const program = fileURLToPath(new URL('inspector.child.js', import.meta.url))
const flags = 'Deno' in globalThis ? ['run', '--allow-all', '--no-check', '--no-lock', '--quiet'] : []

let folder = ''
let runtimeFolder: string | undefined
const children = new Set<ChildProcess>()
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'calloff-inspector-'))
  runtimeFolder = process.env['XDG_RUNTIME_DIR']
  process.env['XDG_RUNTIME_DIR'] = folder
})
after(() => {
  for (const child of children) child.kill('SIGKILL')
  if (runtimeFolder === undefined) delete process.env['XDG_RUNTIME_DIR']
  else process.env['XDG_RUNTIME_DIR'] = runtimeFolder
  rmSync(folder, { recursive: true, force: true })
})

/** Starts it, and asks until the answer is the one that is waited for. */
async function ask(how: string[], isIt: (report: ProcessReport) => boolean) {
  const child = spawn(process.execPath, [...flags, program, ...how], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part))
  const ended = new Promise<{ code: number | null; text: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, text }))
  })
  await until(() => text.includes('ready'), `it says that it is ready: ${text}`)
  let report: ProcessReport | undefined
  for (let tries = 0; !report && tries < 600; tries++) {
    const place = (await findPlaces()).find(({ pid }) => pid === child.pid)
    const found = place && (await askProcess(place, 'tree').catch(() => undefined))
    if (found && isIt(found)) report = found
    else await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.ok(report, 'it has not told it')
  return { child, report, ended }
}

describe('a process with the inspector', { skip }, () => {
  it('tells which task has not stopped, and where it was started', async () => {
    const { child, report, ended } = await ask(['hangs'], ({ snapshot }) => snapshot !== undefined)
    const { nodes = [], cancels = [] } = report.snapshot ?? {}
    const task = nodes.find(({ what }) => what === 'task')
    assert.deepEqual([task?.name, task?.state, task?.cancelled?.reason], ['numbers', 'cancelled', 'enough'])
    assert.match(task?.startedAt ?? '', /inspector\.child\.[jt]s:\d+:\d+/)
    assert.deepEqual(
      nodes
        .filter(({ what }) => what !== 'task')
        .map(({ what, name }) => `${what} ${name}`)
        .toSorted(),
      ['scope import', 'token server'],
    )
    assert.deepEqual(
      cancels.map(({ what }) => what),
      ['token "server" was cancelled'],
    )
    child.kill('SIGKILL')
    await ended
  })

  it('says that it is busy, since when and in which task, and on Node where', async () => {
    const stop = join(folder, 'stop')
    const { report, ended } = await ask(['is-busy', stop], ({ busy }) => busy !== undefined)
    const { busy } = report
    assert.equal(busy?.within?.what, 'task numbers')
    assert.match(busy.within.startedAt ?? '', /inspector\.child\.[jt]s:\d+/)
    assert.ok(busy.since >= report.since && busy.since <= Date.now())
    if (isNode)
      assert.ok(
        busy.frames.some((frame) => /^crunch \(.*inspector\.child/.test(frame)),
        busy.frames.join('\n'),
      )
    else assert.deepEqual(busy.frames, [])
    writeFileSync(stop, '')
    assert.deepEqual(await ended, { code: 0, text: 'ready\ndone\n' })
  })
})
