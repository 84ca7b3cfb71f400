/**
 * The Chromium that is installed, without a head: each test file gets a page of its own, in a process of its own.
 *
 * Collections are forced with V8's `gc`. The heap is asked for through the debugger, since nothing that a page can ask
 * counts what is native, such as an AbortSignal: see `calloffHeap` below.
 */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, type CDPSession, chromium as launcher, type Page } from 'playwright-core'
import { effort } from '../effort.js'
import { processes } from './processes.js'
import type { Case, Outcome, Runtime, Settings } from './runtime.js'
import { serve, type Site } from './server.js'

/** The path of the browser: what CHROME_PATH says, or the first in the PATH. */
function find(): string | undefined {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  const paths = [process.env.CHROME_PATH ?? '', ...names.flatMap((name) => folders.map((folder) => join(folder, name)))]
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return path !== ''
    } catch {
      return false
    }
  })
}

/** Starts the Chromium that is installed. Undefined where there is none. */
export async function launchBrowser(args: string[] = []): Promise<Browser | undefined> {
  const executablePath = find()
  // Containers often allow no sandbox, and root never has one; the pages are all ours.
  return executablePath === undefined ? undefined : launcher.launch({ executablePath, chromiumSandbox: false, args })
}

/** A browser and the site of the tests. Pages are opened one by one, and forgotten with all they had. */
export class Chromium {
  readonly #browser: Browser
  readonly #site: Site

  private constructor(browser: Browser, site: Site) {
    this.#browser = browser
    this.#site = site
  }

  /** Undefined where no Chromium is installed. */
  static async launch(): Promise<Chromium | undefined> {
    const browser = await launchBrowser(['--js-flags=--expose-gc'])
    return browser && new Chromium(browser, await serve())
  }

  get isConnected(): boolean {
    return this.#browser.isConnected()
  }

  get version(): string {
    return this.#browser.version().split('.').slice(0, 3).join('.')
  }

  /** Opens the empty page of the site in a process of its own, lets `use` have it, and closes it. */
  async withPage<T>(use: (page: Page, debug: CDPSession) => Promise<T>): Promise<T> {
    const context = await this.#browser.newContext()
    try {
      const page = await context.newPage()
      const debug = await context.newCDPSession(page)
      await page.exposeFunction('calloffHeap', async () => {
        // Chromium's own numbers: what scripts use, and what is native and collected with it.
        const usage: { usedSize: number; embedderHeapUsedSize?: number } = await debug.send('Runtime.getHeapUsage')
        return usage.usedSize + (usage.embedderHeapUsedSize ?? 0)
      })
      await page.addInitScript((share) => Object.assign(globalThis, { calloffEffort: share }), effort)
      await page.goto(this.#site.origin)
      return await use(page, debug)
    } finally {
      await context.close()
    }
  }

  async close(): Promise<void> {
    await this.#browser.close()
    await this.#site.close()
  }
}

/** What the page's stand-in for `node:test` gives. */
interface Report {
  readonly cases: readonly Case[]
  readonly complaints: readonly string[]
}

const node = processes[0] as Runtime

let opened: Promise<Chromium | undefined> | undefined
const open = (): Promise<Chromium | undefined> => (opened ??= Chromium.launch())

export const chromium: Runtime = {
  name: 'chromium',
  missing: 'apt-get install chromium',
  version: async () => (await open())?.version,
  async run(file, settings) {
    if (settings.opensPages === true) return node.run(file, settings)
    try {
      const browser = await open()
      if (browser === undefined) throw new Error('there is no Chromium')
      return await browser.withPage((page, debug) => runIn(page, debug, file, settings))
    } catch (error) {
      // A browser that has died is no reason for the files after this one to fail.
      if ((await opened)?.isConnected === false) opened = undefined
      return { cases: [], problem: String(error), output: '' }
    }
  },
  close: async () => {
    await (await opened)?.close()
    opened = undefined
  },
}

async function runIn(page: Page, debug: CDPSession, file: string, { timeout }: Settings): Promise<Outcome> {
  const output: string[] = []
  page.on('console', (message) => output.push(message.text()))
  page.on('crash', () => output.push('the page crashed'))
  const told = await listen(debug)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`did not end within ${timeout} ms`)), timeout)
  })
  try {
    const report = page.evaluate<Report, string>(async (path) => {
      if (!crossOriginIsolated) throw new Error('the page is not isolated')
      const runner = '/build/test/runtimes/browser/test.js'
      const { run } = (await import(runner)) as { run: (load: () => Promise<unknown>) => Promise<Report> }
      return run(() => import(path))
    }, `/${file}`)
    const { cases, complaints } = await Promise.race([report, late])
    return { cases, problem: complaints.length === 0 ? undefined : complaints.join('\n'), output: output.join('\n') }
  } catch (error) {
    // Who never ended, and what had failed before it, is what one wants to know.
    const { ended, begun } = told
    const cases: Case[] = [
      ...ended,
      ...begun.map((title) => ({ title, state: 'failed', detail: String(error) }) as const),
    ]
    return { cases, problem: String(error), output: output.join('\n') }
  } finally {
    clearTimeout(timer)
  }
}

interface Told {
  readonly ended: readonly Case[]
  /** The test that has begun and not ended, if any. */
  readonly begun: readonly string[]
}

/** What the page tells while it runs, through the debugger: this also arrives from a page that then never yields. */
async function listen(debug: CDPSession): Promise<Told> {
  const ended: Case[] = []
  const begun: string[] = []
  debug.on('Runtime.bindingCalled', ({ name, payload }) => {
    if (name !== 'calloffTell') return
    const said = JSON.parse(payload) as string | Case
    begun.length = 0
    if (typeof said === 'string') begun.push(said)
    else ended.push(said)
  })
  await debug.send('Runtime.enable')
  await debug.send('Runtime.addBinding', { name: 'calloffTell' })
  return { ended, begun }
}
