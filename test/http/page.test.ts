/** The page for operators: as it is served, and in a real browser, with a real hub and real holders. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import { after, describe, it } from 'node:test'
import { brotliCompressSync } from 'node:zlib'
import { hubHandler, hubPage, type HubPageOptions, toNodeListener } from 'calloff/http'
import { connectHub, type OpenOptions, type TokenHub, TokenServer } from 'calloff/remote'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { User } from '../cli/calloff.js'
import { launchBrowser } from '../runtimes/chromium.js'

const browser = process.platform === 'win32' ? undefined : await launchBrowser()
const skip = browser === undefined && 'Chromium is not installed: apt-get install chromium'
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
after(async () => {
  await browser?.close()
  for (const close of closers) await close()
})

/** A token that nothing holds is collected, and its name with it. */
const kept: unknown[] = []

/** What ends everything that a test has started. */
const closers: (() => unknown)[] = []

const get = (options?: HubPageOptions, method = 'GET') =>
  hubPage(options)(new Request('http://localhost/anywhere', { method }))

describe('hubPage', () => {
  it('serves one text, small, with a policy that allows its own script and style alone', async () => {
    const response = get()
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8')
    const text = await response.text()
    assert.ok(brotliCompressSync(text).length < 40_000)
    assert.ok(!/(?:src|href)="(?!data:)/.test(text), 'it names another file')
    const policy = response.headers.get('content-security-policy') ?? ''
    for (const [, kind = '', inside = ''] of text.matchAll(/<(script|style)[^>]*>([^]*?)<\/\1>/g)) {
      const hash = Buffer.from(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(inside)))
      assert.ok(policy.includes(`${kind}-src 'sha256-${hash.toString('base64')}'`), kind)
    }
    assert.match(policy, /default-src 'none'.*connect-src 'self'.*frame-ancestors 'none'/)
    assert.ok(!policy.includes('unsafe'))
  })

  it('answers GET and HEAD', async () => {
    assert.deepEqual([get({}, 'HEAD').status, await get({}, 'HEAD').text()], [200, ''])
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const { status, headers } = get({}, method)
      assert.deepEqual([status, headers.get('allow')], [405, 'GET, HEAD'])
    }
  })

  it('writes the title and the path as text', async () => {
    const text = await get({ title: `<script>"&'$&`, api: '/a&b' }).text()
    assert.ok(text.includes(`data-api="/a&amp;b" data-title="&lt;script&gt;&quot;&amp;'$&amp;"`))
    assert.ok(text.includes(`<title>&lt;script&gt;&quot;&amp;'$&amp;</title>`))
  })

  it('refuses a path that leads to another origin, and what is no option', () => {
    for (const api of ['//evil.example', 'https://evil.example', 'hub', '/hub/', '/hub?x', '/h b', '/\\evil', 7]) {
      assert.throws(() => hubPage({ api: api as string }), TypeError, String(api))
    }
    assert.throws(() => hubPage({ base: '/hub' } as HubPageOptions), TypeError)
    assert.throws(() => hubPage({ title: 7 as unknown as string }), TypeError)
  })
})

/** A hub, and a server with the page and the API for it. */
async function makeSite({
  api = '',
  ...more
}: HubPageOptions & { readonly authorize?: (request: Request) => boolean | 401 } = {}) {
  const server = await TokenServer.listen({ port: 0 })
  const hub = await connectHub(server.url)
  const { authorize = ({ headers }) => headers.get('authorization') === 'Bearer secret' || 401, ...options } = more
  const handler = hubHandler(hub, { authorize, basePath: api, pace: 20 })
  const page = hubPage({ api, ...options })
  const listener = toNodeListener((request) =>
    new URL(request.url).pathname === '/page' ? page(request) : handler(request),
  )
  let web: Server
  const listen = (port: number) =>
    new Promise<number>((resolve) => {
      web = createServer((request, response) => void listener(request, response)).listen(port, '127.0.0.1', () =>
        resolve((web.address() as AddressInfo).port),
      )
    })
  const stop = () => {
    web.close()
    web.closeAllConnections()
  }
  const port = await listen(0)
  closers.push(async () => {
    handler.close()
    stop()
    await hub.close({ timeout: 100 }).catch(() => {})
    await server.close()
  })
  const open = (name: string, options?: OpenOptions) => {
    const token = hub.open(name, options)
    kept.push(token)
    return token
  }
  const address = `http://127.0.0.1:${port}/page`
  return { hub, server, open, address, link: `${address}#token=secret`, stop, listenAgain: () => listen(port) }
}

/** Another process, as far as the hub can tell. */
async function connect(url: string): Promise<TokenHub> {
  const hub = await connectHub(url)
  closers.unshift(() => hub.close({ timeout: 100 }).catch(() => {}))
  return hub
}

interface Visit {
  readonly page: Page
  /** Errors in the console, and requests to another server. */
  readonly complaints: string[]
}

async function visit(
  link: string,
  use: (visit: Visit) => Promise<void>,
  options: BrowserContextOptions = {},
): Promise<void> {
  const context = await browser!.newContext(options)
  try {
    const page = await context.newPage()
    page.setDefaultTimeout(60_000)
    const complaints: string[] = []
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('request', (request) => {
      const url = request.url()
      if (!url.startsWith(`${new URL(link).origin}/`) && !url.startsWith('data:')) complaints.push(`leads to ${url}`)
    })
    await page.goto(link)
    await use({ page, complaints })
  } finally {
    await context.close()
  }
}

const nameButton = (page: Page, name: string) => page.getByRole('button', { name, exact: true })
const isConnected = (page: Page) => page.getByText('Connected', { exact: true }).waitFor()

/** A program for `node -e` that ends only when it is killed. */
const STUBBORN = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')`

async function serve(user: User): Promise<string> {
  const server = user.start(['serve', '--http', '127.0.0.1:0'])
  let text = ''
  server.child.stdout?.on('data', (chunk: string) => (text += chunk))
  await server.printed(/page \S+\n/)
  return /page (\S+)\n/.exec(text)?.[1] ?? ''
}

describe('the page of calloff serve --http', { skip }, () => {
  it('stops what calloff run has started, and shows the receipt', async () => {
    const user = new User()
    const link = await serve(user)
    const program = user.start(['run', '--name', 'demo', '--', 'sh', '-c', 'echo up; sleep 600'])
    await program.printed('up')
    await visit(link, async ({ page, complaints }) => {
      await page.getByRole('button', { name: 'Stop demo' }).click()
      await page.getByRole('textbox', { name: /^Reason/ }).fill('seen enough')
      await page.keyboard.press('Enter')
      const dialog = page.getByRole('dialog', { name: 'demo has stopped' })
      await dialog.getByText('1 of 1 holder finished, 1 heard of it.').waitFor()
      assert.match(await dialog.innerText(), /Cancelled by process \d+ on \S+: seen enough\n/)
      assert.match(
        await dialog.getByRole('listitem').innerText(),
        new RegExp(`^process ${program.child.pid} on \\S+\\s+has finished`),
      )
      const { code, stderr } = await program.ended
      assert.equal(code, 125)
      assert.match(stderr, /^calloff: sh was cancelled as demo by process \d+ on .+: seen enough\n$/)
      await dialog.getByRole('button', { name: 'Close' }).click()
      await page.getByRole('button', { name: 'Forget demo' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Forget' }).click()
      await nameButton(page, 'demo').waitFor({ state: 'detached' })
      assert.deepEqual(complaints, [])
    })
  })

  it('shows what has not stopped, and for how long', async () => {
    const user = new User()
    const link = await serve(user)
    const program = user.start(['run', '--grace', '10m', '--name', 'stuck', '--', process.execPath, '-e', STUBBORN])
    await program.printed('up')
    await visit(link, async ({ page }) => {
      await page.getByRole('button', { name: 'Stop stuck' }).click()
      await page.keyboard.press('Enter')
      const dialog = page.getByRole('dialog', { name: 'Stopping stuck' })
      await dialog.getByText('0 of 1 holder finished, 1 heard of it.').waitFor()
      await dialog.getByRole('button', { name: 'Close' }).click()
      await page.getByRole('cell', { name: /^not stopped for \d+s$/ }).waitFor()
      await page.getByRole('button', { name: 'Not stopped 1' }).waitFor()
      assert.match(await page.title(), /^\(1 not stopped\) /)
      await nameButton(page, 'stuck').click()
      const details = page.getByRole('region', { name: 'stuck' })
      await details.getByText('has heard of the cancel', { exact: true }).waitFor()
      // Asks again: it kills.
      program.child.kill('SIGTERM')
      await program.ended
      await details.locator('.badge.cancelled').waitFor()
      assert.match(await details.getByRole('list').last().innerText(), /process \d+ on \S+ has finished/)
    })
  })
})

describe('the page', { skip }, () => {
  it('asks for a token, takes it out of the address, and keeps it for the tab', async () => {
    const { open, address, link } = await makeSite()
    open('deploy-42')
    await visit(address, async ({ page }) => {
      await page.getByRole('alert').getByText('The server wants to know who you are.').waitFor()
      await page.getByLabel('Token or link').fill('wrong')
      const refused = page.waitForResponse((response) => response.status() === 401)
      await page.getByRole('button', { name: 'Continue' }).click()
      await refused
      await page.getByLabel('Token or link').fill(link)
      await page.getByRole('button', { name: 'Continue' }).click()
      await nameButton(page, 'deploy-42').waitFor()
      await page.reload()
      await nameButton(page, 'deploy-42').waitFor()
    })
    await visit(link, async ({ page }) => {
      await nameButton(page, 'deploy-42').waitFor()
      assert.equal(page.url(), address)
      assert.deepEqual(await page.evaluate(() => localStorage.length), 0)
    })
  })

  it('beside an app uses the session of the app, and sends no token', async () => {
    const seen: (string | null)[] = []
    const { open, address } = await makeSite({
      api: '/admin/hub',
      title: 'Jobs <1>',
      authorize: ({ headers }) => {
        seen.push(headers.get('authorization'))
        return headers.get('cookie') === 'session=7' || 401
      },
    })
    open('import')
    const { origin } = new URL(address)
    const storageState = {
      cookies: [
        {
          name: 'session',
          value: '7',
          domain: '127.0.0.1',
          path: '/',
          expires: -1,
          httpOnly: true,
          secure: false,
          sameSite: 'Strict' as const,
        },
      ],
      origins: [],
    }
    await visit(
      `${origin}/page`,
      async ({ page, complaints }) => {
        await page.getByRole('heading', { name: 'Jobs <1>' }).waitFor()
        await page.getByRole('button', { name: 'Stop import' }).click()
        await page.keyboard.press('Enter')
        await page.getByText('0 of 1 holder finished').waitFor()
        assert.deepEqual(new Set(seen), new Set([null]))
        assert.deepEqual(complaints, [])
      },
      { storageState },
    )
  })

  it('shows foreign text as text, and what would be invisible in it', async () => {
    const { hub, open, link } = await makeSite()
    const evil = '<img src=x onerror="document.title=1">\u202Etxt\u0007'
    const name = '<img src=x onerror="document.title=1">\\u{202e}txt\\u{7}'
    open(evil)
    open('job', { runId: '<b>1</b>' })
    await hub.cancel('other', evil)
    await visit(link, async ({ page, complaints }) => {
      await nameButton(page, name).waitFor()
      await nameButton(page, 'job (run <b>1</b>)').waitFor()
      assert.match(
        await page.getByRole('row').filter({ hasText: 'other' }).innerText(),
        /<img src=x .*\\u\{202e\}txt\\u\{7\}, by /,
      )
      await page.getByRole('button', { name: `Stop ${name}`, exact: true }).click()
      await page.getByRole('textbox', { name: /^Reason/ }).fill(evil.replace('\u0007', ''))
      await page.keyboard.press('Enter')
      await page.getByRole('dialog', { name }).getByText('0 of 1 holder finished').waitFor()
      await page.keyboard.press('Escape')
      await nameButton(page, name).click()
      await page.getByRole('region', { name }).getByText('has heard of the cancel', { exact: true }).waitFor()
      assert.equal(await page.locator('img, b:not(.states b)').count(), 0)
      assert.equal(await page.title(), '(1 not stopped) calloff')
      assert.deepEqual(complaints, [])
    })
  })

  it('lets nothing run that is not its own, and reaches no other server', async () => {
    const { link } = await makeSite()
    const other = await makeSite()
    await visit(link, async ({ page }) => {
      await isConnected(page)
      await page.evaluate((elsewhere) => {
        const blocked = new Set<string>()
        Object.assign(globalThis, { blocked })
        document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) =>
          blocked.add(effectiveDirective),
        )
        const add = (tag: string, properties: object) =>
          document.body.append(Object.assign(document.createElement(tag), properties))
        for (const attempt of [
          () => add('style', { textContent: 'main { display: none }' }),
          () => add('script', { text: 'globalThis.ran = 1' }),
          () => (document.body.innerHTML = '<img src=x onerror="globalThis.ran = 1">'),
          () => void fetch(elsewhere).catch(() => {}),
          () => add('iframe', { src: elsewhere }),
          () => add('img', { src: elsewhere }),
        ]) {
          try {
            attempt()
          } catch {
            // What a trusted type is needed for.
          }
        }
      }, other.address)
      await page.waitForFunction(
        (wanted) => {
          const { blocked } = globalThis as unknown as { blocked: ReadonlySet<string> }
          return wanted.every((directive) => blocked.has(directive))
        },
        ['connect-src', 'frame-src', 'img-src', 'require-trusted-types-for', 'style-src-elem'],
      )
      assert.equal(await page.evaluate(() => (globalThis as { ran?: unknown }).ran), undefined)
      assert.ok(await page.getByRole('heading').isVisible())
    })
  })

  it('says that it has lost the server, comes back, and shows what has changed meanwhile', async () => {
    const { hub, open, link, stop, listenAgain } = await makeSite()
    const token = hub.open('first')
    await visit(link, async ({ page }) => {
      await nameButton(page, 'first').waitFor()
      stop()
      await page.getByText(/^Not connected: the server cannot be reached/).waitFor()
      token[Symbol.dispose]()
      open('second')
      await listenAgain()
      await isConnected(page)
      await nameButton(page, 'second').waitFor()
      await nameButton(page, 'first').waitFor({ state: 'detached' })
    })
  })

  it('filters and sorts', async () => {
    const { hub, open, link } = await makeSite()
    for (const name of ['a', 'b', 'c']) open(name)
    open('b')
    await hub.cancel('d', 'no disk')
    await visit(link, async ({ page }) => {
      const shown = (names: string) =>
        page.waitForFunction(
          (wanted) =>
            [...document.querySelectorAll('.body .name')].map(({ textContent }) => textContent).join('') === wanted,
          names,
        )
      await shown('abcd')
      await page.getByRole('button', { name: 'Name' }).click()
      await shown('abcd')
      await page.getByRole('button', { name: 'Name' }).click()
      await shown('dcba')
      assert.equal(await page.getByRole('columnheader', { name: 'Name' }).getAttribute('aria-sort'), 'descending')
      await page.getByRole('button', { name: 'Held by' }).click()
      await shown('bacd')
      await page.getByRole('button', { name: /^Cancelled 1/ }).click()
      await shown('d')
      await page.getByRole('button', { name: /^All 4/ }).click()
      await page.getByRole('searchbox').fill('NO disk')
      await shown('d')
      await page.getByRole('searchbox').fill('nothing has this')
      await page.getByText('No name fits the filter.').waitFor()
    })
  })

  it('is usable with the keyboard alone, and keeps the focus', async () => {
    const { hub, open, link } = await makeSite()
    const nameOf = (at: number) => `job-${String(at).padStart(3, '0')}`
    for (let at = 0; at < 300; at++) open(nameOf(at))
    await visit(link, async ({ page }) => {
      const focused = () =>
        page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent)
      await nameButton(page, 'job-000').focus()
      for (let at = 1; at <= 60; at++) {
        await page.keyboard.press('ArrowDown')
        await page.waitForFunction((name) => document.activeElement?.textContent === name, nameOf(at))
      }
      assert.ok(await nameButton(page, 'job-060').isVisible())
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => document.activeElement?.id === 'details-of')
      await page.keyboard.press('Escape')
      await page.waitForFunction(() => document.activeElement?.textContent === 'job-060')
      await page.keyboard.press('Tab')
      assert.equal(await focused(), 'Stop job-060')
      await page.keyboard.press('Enter')
      await page.getByRole('dialog').waitFor()
      assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('name')), 'reason')
      await page.keyboard.press('Escape')
      await page.waitForFunction(() => document.activeElement?.getAttribute('aria-label') === 'Stop job-060')
      // Its row is scrolled out of sight, and other rows move around it.
      await page.getByRole('table').evaluate((element) => (element.scrollTop = 0))
      await nameButton(page, 'job-000').waitFor()
      await hub.cancel('job-200')
      await page.getByRole('button', { name: 'Not stopped 1' }).waitFor()
      assert.equal(await focused(), 'Stop job-060')
      await page.keyboard.press('Shift+Tab')
      assert.equal(await focused(), 'job-060')
    })
  })

  it('keeps a few rows of thousands in the document, and draws at most once a frame', async (t) => {
    const { server, link } = await makeSite()
    const holder = await connect(server.url)
    const tokens = Array.from({ length: 5_000 }, (_, at) => holder.open(`job-${at}`))
    await tokens.at(-1)!.ready
    await visit(link, async ({ page }) => {
      await page.getByRole('button', { name: 'All 5,000' }).waitFor()
      await page.evaluate(() => {
        const counts = { frames: 0, draws: 0, repeated: 0, longest: 0 }
        Object.assign(globalThis, { counts })
        const frame = () => {
          counts.frames++
          requestAnimationFrame(frame)
        }
        requestAnimationFrame(frame)
        new MutationObserver((records) => {
          counts.draws++
          const texts = records.filter(({ type }) => type === 'characterData').map(({ target }) => target)
          // A text that is changed twice without a frame between was drawn for nothing.
          counts.repeated += texts.length - new Set(texts).size
        }).observe(document.querySelector('main')!, {
          subtree: true,
          childList: true,
          attributes: true,
          characterData: true,
        })
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) counts.longest = Math.max(counts.longest, duration)
        }).observe({ type: 'longtask' })
      })
      // 200 changes a second, if the machine has the time.
      for (let at = 0; at < 1_000; at += 20) {
        for (let one = at; one < at + 20; one++) {
          tokens[one]![Symbol.dispose]()
          tokens[one] = holder.open(`again-${one}`)
        }
        await page.waitForTimeout(100)
      }
      await page.getByRole('searchbox').fill('again-999')
      await nameButton(page, 'again-999').waitFor()
      await page.getByRole('searchbox').fill('')
      await page.getByRole('button', { name: 'All 5,000' }).waitFor()
      const table = page.getByRole('table')
      await table.evaluate((element) => (element.scrollTop = 100_000))
      await page.waitForFunction(
        () => Number(document.querySelector('.body [role=row]')?.getAttribute('aria-rowindex')) > 1_000,
      )
      assert.equal(await table.getAttribute('aria-rowcount'), '5001')
      const { rows, counts } = await page.evaluate(() => ({
        rows: document.querySelectorAll('[role=row]').length,
        counts: (
          globalThis as unknown as { counts: { frames: number; draws: number; repeated: number; longest: number } }
        ).counts,
      }))
      assert.ok(rows < 60, `${rows} rows`)
      assert.ok(counts.draws > 0 && counts.draws <= counts.frames + 1, JSON.stringify(counts))
      assert.equal(counts.repeated, 0, 'it draws more than once a frame')
      t.diagnostic(`the longest task took ${counts.longest} ms`)
    })
  })

  interface Axe {
    run(options: object): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>
  }
  const violations = async (page: Page) => {
    await page.evaluate(axe)
    return page.evaluate(async () => {
      const { axe } = globalThis as unknown as { axe: Axe }
      const found = await axe.run({ resultTypes: ['violations'] })
      return found.violations.flatMap(({ id, nodes }) =>
        nodes.slice(0, 3).map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`),
      )
    })
  }
  const phone = { width: 390, height: 800 }
  const desk = { width: 1200, height: 800 }
  for (const [what, colorScheme, viewport] of [
    ['light', 'light', desk],
    ['dark', 'dark', desk],
    ['on a phone', 'light', phone],
    ['on a phone, dark', 'dark', phone],
  ] as const) {
    it(`keeps no one out: ${what}`, async () => {
      const { hub, server, address, link } = await makeSite()
      const holder = await connect(server.url)
      for (const name of ['live', 'stuck', 'other']) kept.push(holder.open(name))
      await hub.cancel('stuck', 'takes too long', { until: 'acknowledged', timeout: 60_000 })
      await hub.cancel('old', 'no disk')
      const use = async ({ page }: Visit) => {
        await page.getByRole('button', { name: 'Not stopped 1' }).waitFor()
        await page.getByRole('cell', { name: /^not stopped for/ }).waitFor()
        assert.deepEqual(await violations(page), [])
        const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(width <= 0, `it is wider than the window by ${width}`)
        await nameButton(page, 'stuck').click()
        await page.getByRole('region', { name: 'stuck' }).waitFor()
        assert.deepEqual(await violations(page), [])
        await page.getByRole('button', { name: 'Close' }).click()
        await page.getByRole('button', { name: 'Stop live' }).click()
        await page.getByRole('dialog').waitFor()
        assert.deepEqual(await violations(page), [])
        await page.keyboard.press('Enter')
        await page.getByText('0 of 1 holder finished').waitFor()
        assert.deepEqual(await violations(page), [])
      }
      await visit(link, use, { colorScheme, viewport })
      const refused = async ({ page }: Visit) => {
        await page.getByRole('alert').waitFor()
        assert.deepEqual(await violations(page), [])
      }
      await visit(address, refused, { colorScheme, viewport })
    })
  }
})
