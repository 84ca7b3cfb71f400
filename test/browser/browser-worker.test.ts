/** The example of a page with a worker, as whoever tries it sees it: served by its own server, in a real browser. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, describe, it } from 'node:test'
import type { Page } from 'playwright-core'
import { start } from '../examples/run.js'
import { Chromium } from '../runtimes/chromium.js'

const chromium = await Chromium.launch()
const skip = chromium === undefined && 'Chromium is not installed: apt-get install chromium'
const { child, outcome } = start('browser-worker/serve', ['0'])
const [line] = (await once(child.stdout, 'data')) as [string]
const address = line.trim()
after(async () => {
  child.kill()
  await outcome
  await chromium?.close()
})

/** Opens the page; gives what it says once that matches. */
async function visit(query: string, use: (says: (what: RegExp) => Promise<string>, page: Page) => Promise<void>) {
  await chromium?.withPage(async (page) => {
    await page.goto(address + query)
    const output = page.locator('output')
    await use(async (what) => {
      await output.filter({ hasText: what }).waitFor()
      return output.innerText()
    }, page)
  })
}

describe('a page whose worker is in a loop that never yields', { skip }, () => {
  it('stops it by a button, and reads what it has', () =>
    visit('', async (says, page) => {
      await says(/^counting$/)
      await page.getByRole('button').click()
      assert.match(
        await says(/primes below/),
        /^[1-9]\d* primes below \d+; token "stop button" was cancelled: pressed$/,
      )
    }))

  it('reads what it has by the deadline, which the worker sees by itself', () =>
    visit('?ms=100', async (says) => {
      assert.match(await says(/primes below/), /^\d+ primes below \d+; token "patience" ran out of time after 100 ms$/)
    }))
})
