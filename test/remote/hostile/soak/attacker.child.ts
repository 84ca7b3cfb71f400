/** Attacks a server without end: `attacker.child.js <url> <attack>`, obeying orders over IPC. */
import { once } from 'node:events'
import { connect } from 'node:net'
import process from 'node:process'
import { setImmediate as turn } from 'node:timers/promises'
import { obey } from '../../soak/orders.js'
import { Attacker, floods, holders, type Message } from '../attacker.js'

const [url = '', attack = ''] = process.argv.slice(2)
const { hostname, port } = new URL(url)
const NAMES = 1_000
const MOST_STRANGERS = 3_000

let done = 0

/** Requests of one kind, always more of them under way than are answered. */
async function flood(requests: (count: number) => Message[]): Promise<void> {
  const attacker = await Attacker.connect(url, 'attacker')
  attacker.send({ type: 'enter', id: 1, holders: holders(500) })
  attacker.send({ type: 'enter', id: 2, holders: holders(NAMES).slice(500) })
  const batch = requests(20)
  for (;;) {
    attacker.sendAll(batch)
    const asked = attacker.answers + batch.length / 2
    while (attacker.answers < asked) await once(attacker.socket, 'data')
    done += batch.length
  }
}

/** Opens as many names as it may, leaves, and comes back as another session. */
async function sessions(): Promise<void> {
  for (let session = 0; ; session++) {
    const attacker = await Attacker.connect(url, `attacker ${session}`)
    for (let at = 0; at < 20; at++) {
      attacker.send({ type: 'enter', id: at, holders: holders(250, `session ${session} ${at} `) })
    }
    const before = attacker.answers
    const isLost = once(attacker.socket, 'close')
    while (attacker.answers < before + 20) {
      const [what] = (await Promise.race([once(attacker.socket, 'data'), isLost])) as unknown[]
      if (what === undefined || typeof what === 'boolean') break
    }
    attacker.socket.destroy()
    done++
  }
}

/** Asks for much, and reads nothing; a server that cuts it off meets it again. */
async function deaf(): Promise<void> {
  for (let session = 0; ; session++) {
    const attacker = await Attacker.connect(url, `deaf ${session}`)
    attacker.send({ type: 'enter', id: 1, holders: holders(500) })
    attacker.socket.pause()
    attacker.sendAll((floods['lists of all names'] as (count: number) => Message[])(2_000))
    await new Promise((resolve) => setTimeout(resolve, 100))
    attacker.socket.destroy()
    done++
  }
}

/** Connects, and says nothing. */
async function strangers(): Promise<void> {
  const sockets: ReturnType<typeof connect>[] = []
  for (;;) {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    sockets.push(socket)
    if (sockets.length > MOST_STRANGERS) sockets.shift()?.destroy()
    done++
    await turn()
  }
}

const attacks: Readonly<Record<string, () => Promise<void>>> = { sessions, deaf, strangers }

obey({
  begin() {
    const requests = floods[attack]
    const run = requests ? () => flood(requests) : attacks[attack]
    if (!run) throw new Error(`there is no attack ${attack}`)
    void run().catch(() => {}) // the server, or this process, is about to end
  },
  done: () => done,
})
