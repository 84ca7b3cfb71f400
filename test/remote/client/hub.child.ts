/** A process of its own with a hub: `hub.child.js <url> watch|cancel|stay|lease <name>`. */
import process from 'node:process'
import { connectHub } from 'calloff/remote'

const [, , url = '', what, name = ''] = process.argv
const hub = await connectHub(url)
if (what === 'cancel') {
  const { holders } = await hub.cancel(name, new RangeError('from elsewhere'))
  console.log(`cancelled, ${holders} held it`)
  await hub.close()
} else if (what === 'watch') {
  const token = hub.open(name)
  await token.ready
  console.log('watching')
  const { cause } = await token.wait()
  console.log(`ended: ${String(cause)}`)
  await hub.close()
} else if (what === 'stay') {
  // Neither an open hub nor an open token keeps a process alive.
  await hub.open(name).ready
  console.log('ready')
} else {
  const lease = await hub.lease(name, { ttl: 1_500 })
  console.log('leased')
  await lease.wait()
}
