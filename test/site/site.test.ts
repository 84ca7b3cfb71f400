/** The built site, served as a host of static files serves it, in a real browser. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { Page } from 'playwright-core'
import { blocksOf } from '../docs/blocks.js'
import { fits } from '../docs/check.js'
import { launchBrowser } from '../runtimes/chromium.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const folder = join(root, 'build', 'site')
const { serve } = (await import(new URL('../../../scripts/docs/serve.mjs', import.meta.url).href)) as {
  serve(folder: string): Promise<{ readonly address: string; close(): Promise<void> }>
}
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const browser = await launchBrowser()
const skip = browser === undefined && 'Chromium is not installed: apt-get install chromium'
// One for all pages: what they have in common is fetched and compiled once.
const context = await browser?.newContext()
const site = await serve(folder)
after(async () => {
  await browser?.close()
  await site.close()
})

/** How far a page may move after its first paint, by the measure of browsers, which call 0.1 good: the bar at the top moves by 0.02 when it starts. */
const MOST_SHIFT = 0.05

/** Kilobytes of script, compressed as hosts do it, that a page may fetch before anything is pressed. */
const MOST_SCRIPT = 150

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll('\\', '/'))
const addresses = files
  .filter((file) => file.endsWith('.html') && file !== '404.html')
  .map((file) => `/${file.replace(/(^|\/)index\.html$/, '$1').replace(/\.html$/, '')}`)
  .toSorted()

interface Visit {
  readonly page: Page
  /** What went wrong: errors in the console, requests that failed. */
  readonly complaints: readonly string[]
  /** The scripts that it has asked for. */
  readonly scripts: ReadonlySet<string>
}

async function visit(
  address: string,
  use: (visit: Visit) => Promise<void>,
  colorScheme: 'light' | 'dark' = 'light',
): Promise<void> {
  const page = await context!.newPage()
  try {
    const complaints: string[] = []
    const scripts = new Set<string>()
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`)
    })
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`))
    page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`))
    page.on('response', (response) => {
      if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`)
    })
    page.on('request', (request) => {
      const url = request.url()
      if (!url.startsWith(site.address) && !url.startsWith('data:')) complaints.push(`leads elsewhere: ${url}`)
      if (url.endsWith('.js')) scripts.add(new URL(url).pathname)
    })
    await page.addInitScript(() => {
      const shifts: number[] = []
      Object.assign(globalThis, { shifts })
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) shifts.push((entry as unknown as { value: number }).value)
      }).observe({ type: 'layout-shift', buffered: true })
    })
    await page.emulateMedia({ colorScheme })
    await page.goto(site.address + address)
    // The theme says so when it is at work.
    await page.locator('html[data-ready]').waitFor({ state: 'attached', timeout: 20_000 })
    await use({ page, complaints, scripts })
  } finally {
    await page.close()
  }
}

describe('every page of the site', { skip, concurrency: 2 }, () => {
  for (const address of addresses) {
    it(`${address} loads without an error, without moving, and with little script`, () =>
      visit(address, async ({ page, complaints, scripts }) => {
        const shift = await page.evaluate(async () => {
          for (let frames = 0; frames < 3; frames++) await new Promise(requestAnimationFrame)
          return (globalThis as unknown as { shifts: number[] }).shifts.reduce((before, value) => before + value, 0)
        })
        assert.deepEqual(complaints, [])
        assert.ok(shift < MOST_SHIFT, `it moved by ${shift} after its first paint`)
        const bytes = [...scripts].map((path) => gzipSync(readFileSync(join(folder, path))).length)
        const kilobytes = bytes.reduce((before, size) => before + size, 0) / 1_000
        // The parts of the playground are the programs that it shows.
        if (address !== '/playground') assert.ok(kilobytes < MOST_SCRIPT, `${kilobytes} kB of script`)
      }))
  }
})

describe('the site', { skip, concurrency: 2 }, () => {
  it('keeps the outline in its place while the text of a page is on its way', async () => {
    const html = htmlOf('/learn/why')
    const cut = html.indexOf('<div class="content-container"')
    assert.ok(cut > html.indexOf('class="aside-container"'), 'the outline comes before the text')
    let sendRest!: () => void
    const late = createServer((request, response) => {
      if (request.url === '/') {
        response.writeHead(200, { 'content-type': 'text/html' }).write(html.slice(0, cut))
        sendRest = () => response.end(html.slice(cut))
      } else response.writeHead(302, { location: site.address + request.url }).end()
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => late.once('listening', resolve))
    const page = await context!.newPage()
    try {
      await page.goto(`http://127.0.0.1:${(late.address() as AddressInfo).port}/`, { waitUntil: 'commit' })
      const outline = page.locator('.aside-container')
      await outline.waitFor()
      const early = await outline.boundingBox()
      sendRest()
      await page.locator('.content-container').waitFor()
      assert.deepEqual(early?.x, (await outline.boundingBox())?.x)
    } finally {
      await page.close()
      late.closeAllConnections()
      late.close()
    }
  })

  it('has each heading under the anchor that GitHub gives it', () => {
    const { slugOf } = slugs
    for (const address of addresses) {
      const markdown = join(folder, address.endsWith('/') ? `${address}index.md` : `${address}.md`)
      if (!existsSync(markdown)) continue
      const html = readFileSync(
        join(folder, address.endsWith('/') ? `${address}index.html` : `${address}.html`),
        'utf8',
      )
      const found = Array.from(html.matchAll(/<h[1-6] id="([^"]*)"/g), ([, id]) => id)
      const headings = readFileSync(markdown, 'utf8')
        .replace(/^```[^]*?^```/gm, '')
        .matchAll(/^#+ (.*)$/gm)
      const wanted: string[] = []
      for (const [, heading = ''] of headings) {
        const slug = slugOf(heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('\\', ''))
        let unique = slug
        for (let i = 1; wanted.includes(unique); i++) unique = `${slug}-${i}`
        wanted.push(unique)
      }
      assert.deepEqual(found.slice(0, wanted.length), wanted, address)
    }
  })

  it('has what each link to a heading leads to', () => {
    const ids = new Map(
      addresses.map((address) => [
        address,
        new Set(Array.from(htmlOf(address).matchAll(/ id="([^"]*)"/g), ([, id]) => id)),
      ]),
    )
    const dead = addresses.flatMap((address) =>
      Array.from(htmlOf(address).matchAll(/<a [^>]*href="([^"#]*)#([^"]+)"/g)).flatMap(([, path = '', anchor = '']) => {
        const { origin, pathname } = new URL(path, `http://site${address}`)
        const there = origin === 'http://site' ? ids.get(pathname) : undefined
        return there?.has(decodeURIComponent(anchor)) === false ? [`${address}: ${path}#${anchor}`] : []
      }),
    )
    assert.deepEqual(dead, [])
    assert.ok(ids.size > 50)
  })

  it('leads to every page from llms.txt, as Markdown', () => {
    const links = Array.from(
      readFileSync(join(folder, 'llms.txt'), 'utf8').matchAll(/\]\(([^)]+)\)/g),
      ([, link = '']) => link,
    )
    assert.ok(links.length > 30)
    const missing = links.filter((link) => !existsSync(join(folder, link.slice(1))))
    assert.deepEqual(missing, [])
  })

  const phrases = {
    'child process': '/guides/child-processes',
    'shared memory': '/guides/threads',
    'remaining time': '/reference/timeout',
    'grace period': '/guides/combined',
    'exit code': '/reference/cli/',
    'structured concurrency': '/guides/scope',
    AbortSignal: '/guides/abort-signal',
    'Redis Cluster': '/guides/remote-redis',
    retry: '/guides/retry',
    manualClock: '/guides/testing',
  }
  for (const [phrase, wanted] of Object.entries(phrases)) {
    it(`finds "${phrase}"`, () =>
      visit('/all-pages', async ({ page }) => {
        await page.getByRole('button', { name: 'Search' }).first().click()
        await page.locator('.VPLocalSearchBox input').fill(phrase)
        await page.locator(`.VPLocalSearchBox .result[href^="${wanted}"]`).first().waitFor({ timeout: 10_000 })
      }))
  }

  const kinds = [
    '/',
    '/all-pages',
    '/guides/scope',
    '/guides/threads',
    '/reference/cli/',
    '/playground',
    '/internals/benchmarks',
  ]
  const kindOfApi = addresses.find((address) => address.startsWith('/reference/api/'))
  for (const address of [...kinds, ...(kindOfApi === undefined ? [] : [kindOfApi])]) {
    for (const scheme of ['light', 'dark'] as const) {
      it(`${address} keeps no one out, ${scheme}`, () =>
        visit(
          address,
          async ({ page }) => {
            await page.evaluate(axe)
            const found = await page.evaluate(async () => {
              const { axe } = globalThis as unknown as {
                axe: { run(options: object): Promise<{ violations: Violation[] }> }
              }
              interface Violation {
                readonly id: string
                readonly impact: string
                readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[]
              }
              const { violations } = await axe.run({ resultTypes: ['violations'] })
              return violations
                .filter(({ impact }) => ['serious', 'critical'].includes(impact))
                .flatMap(({ id, nodes }) =>
                  nodes.slice(0, 3).map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`),
                )
            })
            assert.deepEqual(found, [])
          },
          scheme,
        ))
    }
  }
})

const slugs = (await import(new URL('../../../scripts/docs/slug.mjs', import.meta.url).href)) as {
  slugOf(heading: string): string
}

const runnable = addresses.filter((address) => htmlOf(address).includes('class="runnable"'))

function htmlOf(address: string): string {
  return readFileSync(join(folder, address.endsWith('/') ? `${address}index.html` : `${address}.html`), 'utf8')
}

describe('the blocks with a button', { skip, concurrency: 2 }, () => {
  for (const address of runnable) {
    it(`${address} run, and print what their comments say`, () =>
      visit(address, async ({ page, complaints }) => {
        const blocks = page.locator('.runnable')
        for (let at = 0; at < (await blocks.count()); at++) {
          const block = blocks.nth(at)
          const program = (await block.getAttribute('data-program')) ?? ''
          await block.getByRole('button', { name: 'Run' }).click()
          await page.waitForFunction((element) => element?.hasAttribute('data-end'), await block.elementHandle(), {
            timeout: 30_000,
          })
          const printed = (await block.locator('.run-output').innerText()).split('\n').map((line) => line.trimEnd())
          const [parsed] = blocksOf('program.md', `\`\`\`js\n${program}\n\`\`\``)
          for (const promised of parsed?.expected ?? []) {
            const found = printed.findIndex((line) => fits(promised, line))
            assert.ok(found >= 0, `block ${at} does not print "${promised}":\n${printed.join('\n')}\n\n${program}`)
            printed.splice(found, 1)
          }
          assert.equal(await block.getAttribute('data-end'), 'ended', program)
        }
        assert.deepEqual(complaints, [])
      }))
  }

  it('are many', () => assert.ok(runnable.length > 10, runnable.join(' ')))
})

describe('the playground', { skip }, () => {
  it('stops a program that never yields', () =>
    visit('/playground', async ({ page }) => {
      const part = page.locator('.ProgramEditor')
      await part.getByRole('textbox').fill('console.log("begun")\nfor (;;);')
      await part.getByRole('button', { name: 'Run' }).click()
      await part.getByText('begun', { exact: true }).waitFor()
      await part.getByRole('button', { name: 'Stop' }).click()
      await part.getByText('(stopped)').waitFor()
    }))

  const programs = [
    ['a program that ends', 'console.log("one")', 'one\n(ended)'],
    ['an error', 'console.log("one")\nthrow new TypeError("two")', 'one\nUncaught TypeError: two\n(failed)'],
    [
      'another module',
      'import { manualClock } from "calloff/testing"',
      "Here only 'calloff' can be imported, not 'calloff/testing'.\n(failed)",
    ],
  ] as const
  for (const [what, program, output] of programs) {
    it(`shows all that is printed: ${what}`, () =>
      visit('/playground', async ({ page }) => {
        const part = page.locator('.ProgramEditor')
        await part.getByRole('textbox').fill(program)
        await part.getByRole('button', { name: 'Run' }).click()
        await part.getByText(/\((ended|failed)\)/).waitFor()
        assert.equal((await part.locator('.run-output').innerText()).trim(), output)
      }))
  }

  it('keeps the program in its address', () =>
    visit('/playground', async ({ page }) => {
      const program = 'console.log("from an address: ü & 100 %")'
      await page.locator('.ProgramEditor textarea').fill(program)
      await page.goto('about:blank')
      await page.goBack()
      assert.equal(await page.locator('.ProgramEditor textarea').inputValue(), program)
    }))

  it('cancels a loop that never yields through shared memory', () =>
    visit('/playground', async ({ page }) => {
      const part = page.locator('.BusyLoop')
      await part.getByLabel('Reason').fill('seen enough')
      await part.getByRole('button', { name: 'Start' }).click()
      await page.waitForFunction(() => document.querySelector('.BusyLoop dl')?.textContent?.match(/primes found[1-9]/))
      await part.getByRole('button', { name: 'Cancel' }).click()
      await part.getByText('token "stop button" was cancelled: seen enough').waitFor()
      assert.match(await part.locator('dl').innerText(), /from cancel\(\) to the loop\s+\d+\.\d\d ms/)
    }))

  it('takes a deadline below 0 as 0', () =>
    visit('/playground', async ({ page, complaints }) => {
      const part = page.locator('.BusyLoop')
      await part.getByLabel('Deadline').fill('-3')
      await part.getByRole('button', { name: 'Start' }).click()
      await part.getByText('token "deadline" ran out of time after 0 ms').waitFor()
      assert.deepEqual(complaints, [])
    }))

  it('draws what a cancel of a token reaches', () =>
    visit('/playground', async ({ page }) => {
      const part = page.locator('.TokenTree')
      await part.getByRole('button', { name: /^request A/ }).click()
      await part.getByRole('button', { name: 'Cancel request A' }).click()
      await part.getByRole('button', { name: /^query\s*by request A/ }).waitFor()
      await part.getByRole('button', { name: /^server\s*runs/ }).waitFor()
      await part.getByRole('button', { name: /^render/ }).waitFor()
    }))
})
