/** Small programs: `programs.child.js <program> <url>`. */
import process from 'node:process'
import { connectHub } from 'calloff/remote'

const [program, url = ''] = process.argv.slice(2)

const programs: Readonly<Record<string, () => Promise<void>>> = {
  /** Has a hub, open tokens with listeners and a lease, and nothing else to do. */
  async idle() {
    const hub = await connectHub(url)
    hub.open('idle').onCancel(() => {})
    await hub.lease('idle-lease', { ttl: 10_000 })
    console.log('has nothing to do')
  },

  /** Cancels, and has nothing else to do. */
  async cancels() {
    const hub = await connectHub(url)
    hub.open('last-word').cancel('and goes')
    console.log('has said it')
  },

  /** Waits for a cancel. */
  async waits() {
    const hub = await connectHub(url)
    const token = hub.open('awaited')
    await token.ready
    console.log('waits')
    console.log((await token.wait()).message.replace(/ in process.*:/, ':'))
  },
}
await programs[program as keyof typeof programs]!()
