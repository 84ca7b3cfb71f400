/** A program with a hub in the background: `background.child.js <url> <name> <how>`. */
import { writeSync } from 'node:fs'
import process from 'node:process'
import { NEVER } from 'calloff'
import { connectHub, type RemoteToken } from 'calloff/remote'

const [url = '', name = '', how = ''] = process.argv.slice(2)

/** At once: a loop that never yields is to be heard, too. */
function say(text: string): void {
  writeSync(1, `${text}\n`)
}

function tell({ error, who }: RemoteToken): void {
  const { kind, message, cause } = error ?? {}
  const reason = cause instanceof Error ? `${cause.name}: ${cause.message.length}` : cause
  say(JSON.stringify({ kind, message: message?.slice(0, 200), reason, who }))
}

const hub = await connectHub(url, {
  background: true,
  ...(how === 'cut' && { onDisconnect: 'cancel', disconnectAfter: 100 }),
})
switch (how) {
  // Never yields, until it is over.
  case 'busy':
  case 'cut': {
    const token = hub.open(name)
    await token.ready
    say('ready')
    while (token.keepOn());
    tell(token)
    await hub.close()
    break
  }
  case 'sleep': {
    const token = hub.open(name)
    await token.ready
    say('ready')
    token.waitSync()
    tell(token)
    await hub.close()
    break
  }
  // Holds a lease, and is busy for far longer than its ttl.
  case 'lease': {
    const lease = await hub.lease(name, { ttl: 600 })
    say('ready')
    const stop = hub.open(`${name}-stop`)
    await stop.ready
    say('watching')
    while (stop.keepOn() && lease.keepOn());
    say(`lease ${lease.kind ?? 'held'}`)
    await hub.close()
    break
  }
  // Is kept alive by nothing.
  case 'leave':
    hub.open(name).onCancel(() => say('never'))
    await hub.expose(`${name}-exposed`, NEVER).ready
    say('ready')
    break
  // What is not stored yet keeps it alive.
  case 'cancel':
    hub.open(name).cancel('by the child')
    break
  case 'exit':
    await hub.open(name).ready
    say('ready')
    process.exit(7)
}
