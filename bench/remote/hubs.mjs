// A process with hubs of its own, which holds what it is told to hold.
import { connectHub } from 'calloff/remote'
import { heap } from '../measure/runtime.mjs'
import { obey } from './lines.mjs'

let hubs = []
let kept = []
let heard = Promise.resolve()

function turned(hub, state) {
  return new Promise((resolve) => {
    if (hub.state === state) return resolve()
    const told = hub.onEvent(({ type }) => {
      if (type !== state) return
      told.stop()
      resolve()
    })
  })
}

const named = (prefix, count) => Array.from({ length: count }, (_, i) => `${prefix}-${i}`)

obey({
  async connect({ url, count = 1 }) {
    hubs = []
    while (hubs.length < count) {
      const left = Math.min(100, count - hubs.length)
      hubs.push(...(await Promise.all(Array.from({ length: left }, () => connectHub(url)))))
    }
  },
  /** For each ping that is called off here, its pong is called off. */
  async answer({ pings, pongs, count }) {
    const [hub] = hubs
    const from = named(pings, count)
    const to = named(pongs, count).map((name) => hub.open(name))
    const tokens = from.map((name, i) => {
      const token = hub.open(name)
      token.onCancel(() => to[i].cancel())
      return token
    })
    kept = [...tokens, ...to]
    await Promise.all(kept.map((token) => token.ready))
  },
  /** Each hub opens names of its own, or so many tokens of one. */
  async hold({ names, name, count }) {
    const tokens = hubs.flatMap((hub) =>
      (names ? named(names, count) : Array.from({ length: count }, () => name)).map((one) => hub.open(one)),
    )
    kept = tokens
    heard = new Promise((resolve) => {
      let left = tokens.length
      for (const token of tokens) token.onCancel(() => --left || resolve({}))
    })
    await Promise.all(tokens.map((token) => token.ready))
  },
  /** All hubs have a connection again, after all of them had lost theirs, and what they hold is entered. */
  async back() {
    const until = (state) => Promise.all(hubs.map((hub) => turned(hub, state)))
    await until('disconnected')
    await until('connected')
    // Answers come in order, so by then the server has heard of all that is held.
    await Promise.all(hubs.map((hub) => hub.list('nothing')))
  },
  /** All that is held is over. */
  heard: () => heard,
  /** Calls off names that nobody holds. */
  async mark({ names, count }) {
    const [hub] = hubs
    for (const name of named(names, count)) {
      const token = hub.open(name).cancel('stop pressed')
      kept.push(token)
      if (kept.length % 1_000 === 0) await token.delivered
    }
    await Promise.all(kept.map(({ delivered }) => delivered))
    for (const token of kept.splice(0)) token.close()
  },
  letGo() {
    for (const token of kept) token.close()
    kept = []
  },
  weigh: async () => ({ bytes: await heap() }),
})
