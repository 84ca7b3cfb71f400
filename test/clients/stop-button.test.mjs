/** examples/stop-button, copied into a folder in which `ai` and calloff are installed, and used in a real browser. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, readFileSync, rmSync } from 'node:fs'
import process from 'node:process'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connectHub } from 'calloff/remote'
import { redisServer, skip as withoutRedis } from '../../build/test/remote/redis/server.js'
import { launchBrowser } from '../../build/test/runtimes/chromium.js'

const source = new URL('../../examples/stop-button/', import.meta.url)
const folder = fileURLToPath(new URL(`node_modules/.stop-button-${process.pid}/`, import.meta.url))
cpSync(source, folder, { recursive: true, filter: (path) => !path.includes('node_modules', source.pathname.length) })

const browser = await launchBrowser()
const withoutBrowser = browser === undefined && 'Chromium is not installed: apt-get install chromium'
after(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true })
})

/** Starts the example as its page says. `end` is Ctrl+C. */
async function start(env) {
  const { NODE_TEST_CONTEXT: _context, HUB_URL: _url, HUB_KEY: _key, PORT: _port, ...own } = process.env
  const child = spawn(process.execPath, ['.'], { cwd: folder, env: { ...own, ...env } })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text))
  const ended = once(child, 'exit')
  const [line] = await Promise.race([once(child.stdout.setEncoding('utf8'), 'data'), ended])
  assert.match(String(line), /^http:/, errors)
  const end = async () => {
    child.kill('SIGINT')
    const [code] = await ended
    assert.deepEqual([code, errors], [130, ''])
  }
  return { address: line.trim(), end }
}

/** A browser of a user: what it shows, and what its requests were answered. */
async function browserOf(address, use) {
  const context = await browser.newContext()
  context.setDefaultTimeout(60_000)
  try {
    const tab = async (url = address) => {
      const page = await context.newPage()
      const stops = []
      page.on('response', (response) => {
        if (response.url().includes('/v1/cancel')) stops.push([response.status(), response.headers()['x-server']])
      })
      await page.goto(url)
      const says = async (pattern) => {
        await page.getByRole('status').filter({ hasText: pattern }).waitFor()
        return pattern.exec(await page.getByRole('status').innerText())
      }
      const press = (name) => page.getByRole('button', { name }).click()
      const answer = () => page.getByLabel('Answer').textContent()
      const begun = () => page.getByLabel('Answer').filter({ hasText: 'Once upon' }).waitFor()
      const ask = async (prompt = 'Tell me a story') => {
        await page.getByLabel('Prompt').fill(prompt)
        await press('Send')
      }
      return { page, stops, says, press, answer, begun, ask }
    }
    await use(tab)
  } finally {
    await context.close()
  }
}

const STOPPED = /^stopped on (server \d), ([1-9]\d*) characters$/

function checkExample(open) {
  let example
  const visit = (use) => browserOf(example.address, use)
  before(async () => {
    example = await start(await open())
  })
  after(() => example?.end())

  it('writes an answer to its end', () =>
    visit(async (tab) => {
      const { ask, says, answer } = await tab()
      await ask('Tell me a story of 5 words')
      await says(/^complete on server \d, 19 characters$/)
      assert.equal(await answer(), 'Once upon a time a ')
    }))

  for (const [way, more] of [
    ['another server', 0],
    ['the server that writes', 1],
  ]) {
    it(`Stop by ${way} ends the answer, and says so when it has ended`, () =>
      visit(async (tab) => {
        const { page, ask, begun, press, says, answer, stops } = await tab()
        await ask()
        await begun()
        for (let i = 0; i < more; i++) await page.request.get(new URL('nothing', example.address).href) // the turn of the next server
        await press('Stop')
        const [, writer, length] = await says(STOPPED)
        assert.equal((await answer()).length, Number(length))
        const [[, first]] = stops
        assert.equal(first === writer, more === 1)
        const statuses = stops.map(([status]) => status)
        assert.deepEqual(statuses, [...statuses.slice(1).fill(202), 200])
      }))
  }

  it('Stop before a server knows of the run: not a word is written', () =>
    visit(async (tab) => {
      const { page, ask, press, says, answer, stops } = await tab()
      let release
      const released = new Promise((resolve) => (release = resolve))
      await page.route(/\/chat\?/, async (route) => {
        if (route.request().method() === 'POST') await released
        await route.continue()
      })
      await ask()
      await press('Stop')
      await says(/^stopped before it began$/)
      assert.deepEqual(
        stops.map(([status]) => status),
        [200],
      )
      release()
      await says(/^stopped on server \d, 0 characters$/)
      assert.equal(await answer(), '')
    }))

  it('a page that is loaded again does not stop the run, and another tab can', () =>
    visit(async (tab) => {
      const one = await tab()
      await one.ask()
      await one.begun()
      await one.page.reload()
      await one.says(/^is being written$/)
      const other = await tab(one.page.url())
      await other.says(/^is being written$/)
      await other.press('Stop')
      const [end] = await other.says(STOPPED)
      assert.deepEqual(await one.says(STOPPED), await other.says(STOPPED), end)
      assert.ok((await other.answer()).startsWith('Once upon a time'))
      assert.equal(await one.answer(), await other.answer())
    }))

  it('a stranger cannot read the run or stop it', () =>
    visit(async (tab) => {
      const owner = await tab()
      await owner.ask()
      await owner.begun()
      const url = owner.page.url()
      await visit(async (tab) => {
        const stranger = await tab(url)
        await stranger.says(/^the run cannot be read: 403$/)
        await stranger.press('Stop')
        await stranger.says(/^Stop was refused: 403$/)
        assert.deepEqual(
          stranger.stops.map(([status]) => status),
          [403],
        )
      })
      const name = decodeURIComponent(new URL(url).hash.slice(1))
      const [, user] = name.split('/')
      for (const cookie of ['', `session=${user}`, `session=${user}.${'A'.repeat(43)}`]) {
        for (const [method, path] of [
          ['POST', 'calloff/v1/cancel'],
          ['GET', 'calloff/v1/name'],
          ['GET', 'chat'],
          ['POST', 'chat'],
        ]) {
          const init = { method, headers: { cookie, 'content-type': 'application/json' } }
          const { status } = await fetch(new URL(`${path}?name=${name}`, url), init)
          assert.equal(status, 401, `${method} ${path} with ${cookie}`)
        }
      }
      const { length } = await owner.answer()
      await owner.page.waitForFunction(
        (before) => document.querySelector('section').textContent.length > before,
        length,
      )
      await owner.press('Stop')
      await owner.says(STOPPED)
    }))
}

describe('the stop button, with the hub in the program', { skip: withoutBrowser }, () => {
  checkExample(() => ({}))
})

describe('the stop button, with the hub on Redis', { skip: withoutBrowser || withoutRedis }, () => {
  let redis
  let url
  checkExample(async () => {
    redis = await redisServer()
    url = `redis://127.0.0.1:${redis.port}`
    return { HUB_URL: url }
  })
  after(() => redis?.end())

  it('does not say that it has stopped while any process still runs it', async () => {
    const example = await start({ HUB_URL: url })
    const hub = await connectHub(url)
    try {
      await browserOf(example.address, async (tab) => {
        const { page, ask, begun, press, says, stops } = await tab()
        await ask()
        await begun()
        // Chromium reports a stream that is not cached as failed, although the page reads it to its end.
        const ended = Promise.race(
          ['requestfinished', 'requestfailed'].map((event) =>
            page.waitForEvent(event, (request) => request.url().includes('/chat?')),
          ),
        )
        let isEndRead = false
        page.on('request', (request) => (isEndRead ||= request.method() === 'GET' && request.url().includes('/chat?')))
        const holder = hub.open(decodeURIComponent(new URL(page.url()).hash.slice(1)))
        await holder.ready
        let end
        void holder.finished(new Promise((resolve) => (end = resolve)))
        await press('Stop')
        await says(new RegExp(`^stopping: waits for .*process ${process.pid} on `))
        await ended // the answer has ended, and the other holder has not
        await says(/^stopping/)
        assert.equal(isEndRead, false)
        assert.ok(stops.every(([status]) => status === 202))
        end()
        await says(STOPPED)
        assert.deepEqual(stops.at(-1)[0], 200)
      })
    } finally {
      await hub.close()
      await example.end()
    }
  })
})

it('the example and these tests use the same version of the SDK', () => {
  const versionIn = (url) => JSON.parse(readFileSync(url, 'utf8')).dependencies.ai
  assert.equal(versionIn(new URL('package.json', source)), versionIn(new URL('package.json', import.meta.url)))
})
