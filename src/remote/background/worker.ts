/**
 * The thread of a background hub: a hub like any other, whose tokens live in another thread. Here each of them has a stand-in, and
 * is said to be open, seen or finished when it is so over there.
 *
 * Clocks: a deadline is told by the clock of the other thread, which may have another zero. How far that is ahead of ours is known
 * from below: whatever arrives here was sent before. The best of these bounds is used, so a deadline over there is never later.
 */
import process from 'node:process'
import { type MessagePort, parentPort } from 'node:worker_threads'
import { now } from '../../core/clock.js'
import type { CancellationKind } from '../../core/errors.js'
import type { Cancellation } from '../../core/graph.js'
import { type HubClient, hubClientOf } from '../client/hub-client.js'
import { settingsOf } from '../client/options.js'
import { engineOf } from '../registry/engines.js'
import { ACKNOWLEDGED, FINISHED, type MarkRecord, OPEN } from '../contract/engine.js'
import { type Expiry, isOver } from '../contract/expiry.js'
import type { Target } from '../client/registration.js'
import type { Who } from '../contract/hub.js'
import type { Leased } from '../client/lease-keeper.js'
import type { Desk } from '../contract/remote-token.js'
import { Outbox } from './mailbox.js'
import { type News, type Order, plainError, plainEvent, type Request, type Sent } from './messages.js'

/** What stands for a token of the other thread. */
class StandIn implements Target {
  readonly #desk: Desk
  readonly #tell: (news: News) => void
  protected readonly id: number
  #state = OPEN
  endsAlone = false

  constructor(desk: Desk, id: number, tell: (news: News) => void) {
    this.#desk = desk
    this.#tell = tell
    this.id = id
  }

  arrive(_found: Cancellation, _who: Who, record: MarkRecord): void {
    this.tell({ type: 'over', id: this.id, record })
  }

  fall(kind: CancellationKind): void {
    this.tell({ type: 'fell', id: this.id, kind })
  }

  get isOver(): boolean {
    return this.#state >= ACKNOWLEDGED
  }

  get isFinished(): boolean {
    return this.#state === FINISHED
  }

  changed(state: number, endsAlone: boolean): void {
    this.#state = state
    this.endsAlone = endsAlone
    this.#desk.changed()
  }

  /** The hub is closed, which the other side knows. */
  close(): void {}

  leave(): void {
    this.#desk.close()
  }

  protected tell(news: News): void {
    this.#tell(news)
  }
}

class LeaseStandIn extends StandIn implements Leased {
  readonly #toOther: (expiry: Expiry) => Expiry
  expiry: Expiry
  #isLost = false

  constructor(desk: Desk, id: number, tell: (news: News) => void, expiry: Expiry, toOther: (expiry: Expiry) => Expiry) {
    super(desk, id, tell)
    this.expiry = expiry
    this.#toOther = toOther
  }

  get isLost(): boolean {
    return (this.#isLost ||= this.isOver || isOver(this.expiry))
  }

  extend(expiry: Expiry): void {
    if (expiry.deadline <= this.expiry.deadline || this.isLost) return
    this.expiry = expiry
    this.tell({ type: 'extended', id: this.id, expiry: this.#toOther(expiry) })
  }
}

class HubThread {
  readonly #client: HubClient
  readonly #tell: (news: News) => void
  readonly #standIns = new Map<number, StandIn>()
  /** How far the other thread's clock is ahead, at least. */
  #ahead = -Infinity

  constructor(client: HubClient, tell: (news: News) => void) {
    this.#client = client
    this.#tell = tell
    client.onEvent((event) => tell({ type: 'event', event: plainEvent(event) }))
  }

  hear(sent: Sent): void {
    this.#ahead = Math.max(this.#ahead, sent.at - now())
    switch (sent.type) {
      case 'enter':
        return this.#enter(sent)
      case 'changed':
        return this.#standIns.get(sent.id)?.changed(sent.state, sent.endsAlone)
      case 'leave':
        this.#standIns.get(sent.id)?.leave()
        this.#standIns.delete(sent.id)
        return undefined
      case 'send':
        return void this.#send(sent)
      case 'call':
        return void this.#call(sent)
    }
  }

  #enter({ id, topic, role, onDisconnect }: Request & { readonly type: 'enter' }): void {
    const make = (desk: Desk) => new StandIn(desk, id, this.#tell)
    const { target, holding } = this.#client.enter(topic, role, onDisconnect, make)
    holding.keep(target) // until the other side lets go of it
    this.#standIns.set(id, target)
    holding.ready.promise.then(
      () => this.#tell({ type: 'ready', id }),
      (error: unknown) => this.#tell({ type: 'ready', id, error: plainError(error) }),
    )
  }

  #send({ topic, record, ttl }: Pick<Request & { readonly type: 'send' }, 'topic' | 'record' | 'ttl'>) {
    const delivery = this.#client.send(topic, record, ttl)
    // What was not stored when the hub was closed is counted there.
    delivery.later.promise.then(
      () => this.#tell({ type: 'stored', topic, id: record.id }),
      () => {},
    )
    return delivery
  }

  async #call(request: Request & { readonly type: 'call' }): Promise<void> {
    const { call } = request
    try {
      this.#tell({ type: 'answer', call, value: await this.#answer(request) })
    } catch (error) {
      this.#tell({ type: 'answer', call, error: plainError(error) })
    }
  }

  async #answer(request: Request & { readonly type: 'call' }): Promise<unknown> {
    const client = this.#client
    switch (request.what) {
      case 'connect':
        await client.connect(request.ask.lazy)
        return undefined
      case 'cancel': {
        const { asked, record } = request.ask
        const { topic, ttl } = asked
        return client.follow(() => this.#send({ topic, record, ttl }), asked, now())
      }
      case 'list':
        return client.reports(request.ask.prefix)
      case 'forget':
        await client.forget(request.ask.topic.name, { run: request.ask.topic.run })
        return undefined
      case 'lease': {
        const { id, asked } = request.ask
        const toOther = ({ deadline, wall }: Expiry) => ({ deadline: deadline + this.#ahead, wall })
        let fence = 0
        const standIn = await client.take(asked, (desk, given, expiry) => {
          fence = given
          return new LeaseStandIn(desk, id, this.#tell, expiry, toOther)
        })
        this.#standIns.set(id, standIn)
        return { fence, expiry: toOther(standIn.expiry) }
      }
      default:
        await client.close(request.ask)
        return undefined
    }
  }
}

/** Messages come in order, and wait until there is somebody to hear them. */
function listen(port: MessagePort): void {
  let outbox: Outbox | undefined
  let thread: Promise<HubThread> | undefined
  let failure: unknown
  process.on('uncaughtExceptionMonitor', (error) => (failure = error))
  process.on('exit', () =>
    outbox?.put({ type: 'ending', error: failure === undefined ? failure : plainError(failure) }),
  )
  port.on('message', (message: Order | Sent) => {
    if (thread) {
      // What was wrong with the order is told by the answer to the first call.
      const refuse = (error: unknown) => {
        const { call } = message as { readonly call?: number }
        if (call !== undefined) outbox?.put({ type: 'answer', call, error: plainError(error) })
      }
      thread.then((found) => found.hear(message as Sent), refuse)
      return
    }
    const { url, options, session, port: news, bell } = message as Order
    outbox = new Outbox(news as MessagePort, bell, () => port.postMessage(0))
    const box = outbox
    box.put({ type: 'started' })
    thread = open(url, options, session).then((client) => new HubThread(client, (one) => box.put(one)))
    thread.catch(() => {})
  })
}

async function open(url: string, options: Order['options'], session: string): Promise<HubClient> {
  const settings = settingsOf(options)
  return hubClientOf(await engineOf(url, settings), settings, session)
}

if (parentPort) listen(parentPort)
