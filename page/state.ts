/** What the page shows, and when it is drawn. */
import { Feed } from './feed.js'
import { Server } from './server.js'
import { Table, type Wish } from './table.js'
import type { Topic } from './values.js'

export type Dialog =
  | { readonly kind: 'stop'; readonly topic: Topic }
  | { readonly kind: 'forget'; readonly topic: Topic }
  | undefined

interface Settings {
  readonly api: string
  readonly title: string
}

function settings(): Settings {
  const { api = '', title = 'calloff' } = document.documentElement.dataset
  return { api, title }
}

let draw: () => void = () => {}
let isAsked = false

/** Draws the page with the next frame: once, however often it is called before. */
export function invalidate(): void {
  if (isAsked) return
  isAsked = true
  requestAnimationFrame(() => {
    isAsked = false
    draw()
  })
}

export function drawWith(render: () => void): void {
  draw = render
  // Ages are in whole seconds.
  setInterval(invalidate, 1_000)
  invalidate()
}

export const { api, title } = settings()
export const server = new Server(api)
export const table = new Table()
export const feed = new Feed(
  server,
  (event) => {
    table.take(event, now())
    invalidate()
  },
  invalidate,
)

/** Returns the time of the clock of the server, in milliseconds. */
export function now(): number {
  return Date.now() + server.ahead
}

export const view: {
  wish: Wish
  /** The name whose details are shown. */
  selected: Topic | undefined
  dialog: Dialog
  /** What a screen reader says. */
  said: string
} = {
  wish: { filter: '', state: 'all', column: 'state', isReversed: false },
  selected: undefined,
  dialog: undefined,
  said: '',
}

export function wish(change: Partial<Wish>): void {
  view.wish = { ...view.wish, ...change }
  invalidate()
}

export function select(topic: Topic | undefined): void {
  view.selected = topic
  invalidate()
}

export function ask(dialog: Dialog): void {
  view.dialog = dialog
  invalidate()
}

export function say(text: string): void {
  view.said = text
  invalidate()
}
