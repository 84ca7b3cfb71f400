// A cancel in this process, one in answer to it in another: half of there and back is the way of one, and no clocks are compared.
import { connectHub } from 'calloff/remote'
import { Helper } from './lines.mjs'

let series = 0

/** @param {Promise<{ url: string, end: () => Promise<void> }>} starting */
export async function acrossHub(starting) {
  const place = await starting
  const other = Helper.start('hubs.mjs')
  await other.ask({ do: 'connect', url: place.url })
  const hub = await connectHub(place.url)
  let pings = []
  let pongs = []
  return {
    async prepare(count) {
      for (const token of [...pings, ...pongs]) token.close()
      const names = { pings: `ping-${++series}`, pongs: `pong-${series}` }
      await other.ask({ do: 'letGo' })
      await other.ask({ do: 'answer', ...names, count })
      pings = Array.from({ length: count }, (_, i) => hub.open(`${names.pings}-${i}`))
      pongs = Array.from({ length: count }, (_, i) => hub.open(`${names.pongs}-${i}`))
      await Promise.all([...pings, ...pongs].map((token) => token.ready))
    },
    round() {
      const ping = pings.pop()
      const pong = pongs.pop()
      return new Promise((resolve) => {
        let begin = 0
        pong.onCancel(() => resolve(((performance.now() - begin) * 1e6) / 2))
        begin = performance.now()
        ping.cancel('stop pressed')
      })
    },
    async end() {
      await hub.close()
      await other.end()
      await place.end()
    },
  }
}
