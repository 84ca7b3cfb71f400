/**
 * The worker of a background hub. It has an ordinary hub, with proxies for the tokens of the other thread.
 *
 * Clocks: a deadline is sent in the time of the other thread's clock, which may have another zero. Each message gives a lower bound of how
 * far that clock is ahead of this one, because a message arrives after it was sent. The best bound is used, so a deadline there is never
 * too late.
 */
import process from 'node:process'
import { type MessagePort, parentPort } from 'node:worker_threads'
import { now } from '../../core/clock.js'
import { type ClientEnvironment, environmentOf, HubClient } from '../client/hub-client.js'
import type { Leased } from '../client/lease-keeper.js'
import { credentialsOf, type Settings, settingsOf } from '../client/options.js'
import type { PendingCancel } from '../client/pending-cancels.js'
import type { RegisteredToken, Registration } from '../client/registration.js'
import { ACKNOWLEDGED, type Engine, type MarkRecord, type Topic } from '../contract/engine.js'
import { type Expiry, isOver } from '../contract/expiry.js'
import { engineOf } from '../registry/engines.js'
import { MailboxSender } from './mailbox.js'
import {
  plainError,
  plainEvent,
  type TimedRequest,
  type WorkerEvent,
  type WorkerRequest,
  type WorkerStart,
} from './messages.js'

type Post = (event: WorkerEvent) => void
type RequestOf<K extends WorkerRequest['type']> = WorkerRequest & { readonly type: K }

/** Represents a token of the other thread, which reports its state to the registration. */
class TokenProxy implements RegisteredToken {
  protected readonly post: Post
  #isCancelledHere = false

  constructor(
    private readonly registration: Registration,
    post: Post,
  ) {
    this.post = post
  }

  protected get id(): number {
    return this.registration.id
  }

  /** Sends a cancel to the token in the other thread. */
  applyCancel(): void {}

  cancelHere(kind: 'disconnect' | 'lease'): void {
    this.#isCancelledHere = true
    this.post({ type: 'cancelled-here', id: this.id, kind })
  }

  /** The other thread closes its tokens itself. */
  close(): void {}

  get readsCancelled(): boolean {
    return this.#isCancelledHere || this.registration.state >= ACKNOWLEDGED
  }
}

class LeaseProxy extends TokenProxy implements Leased {
  readonly #toOther: (expiry: Expiry) => Expiry
  expiry: Expiry
  #isLost = false

  constructor(registration: Registration, post: Post, expiry: Expiry, toOther: (expiry: Expiry) => Expiry) {
    super(registration, post)
    this.expiry = expiry
    this.#toOther = toOther
  }

  get isLost(): boolean {
    return (this.#isLost ||= this.readsCancelled || isOver(this.expiry))
  }

  extend(expiry: Expiry): void {
    if (expiry.deadline <= this.expiry.deadline || this.isLost) return
    this.expiry = expiry
    this.post({ type: 'extended', id: this.id, expiry: this.#toOther(expiry) })
  }
}

class WorkerHub extends HubClient {
  readonly #post: Post
  /** The lower bound of how far the clock of the other thread is ahead, in milliseconds. */
  #ahead = -Infinity

  constructor(engine: Engine, settings: Settings, environment: ClientEnvironment, post: Post) {
    super(engine, settings, environment)
    this.#post = post
    this.onEvent((event) => post({ type: 'event', event: plainEvent(event) }))
  }

  hear(request: TimedRequest): void {
    this.#ahead = Math.max(this.#ahead, request.at - now())
    switch (request.type) {
      case 'enter':
        return this.#enter(request)
      case 'changed':
        return this.tokens.get(request.id)?.changed(request.state, false)
      case 'leave': {
        const registration = this.tokens.get(request.id)
        // Only the engine knows a token that an earlier worker entered.
        return registration ? this.leave(registration) : this.leaveId(request.id)
      }
      case 'store':
        return void this.store(request.topic, request.record, request.ttl)
      case 'call':
        return void this.#call(request)
    }
  }

  #enter({ id, topic, role, onDisconnect }: RequestOf<'enter'>): void {
    if (this.isClosed) return
    const registration = this.register(topic, role, onDisconnect, id)
    const proxy = new TokenProxy(registration, this.#post)
    this.enter(registration, proxy)
    registration.hold(proxy) // until the other thread reports that the token is closed
    registration.readiness.promise.then(
      () => this.#post({ type: 'ready', id }),
      (error: unknown) => this.#post({ type: 'ready', id, error: plainError(error) }),
    )
  }

  protected override store(topic: Topic, record: MarkRecord, ttl: number): PendingCancel {
    const pending = super.store(topic, record, ttl, undefined)
    // The other thread counts the cancels that are not stored when the hub is closed.
    pending.stored.promise.then(
      (mark) => this.#post({ type: 'stored', topic, id: record.id, mark }),
      () => {},
    )
    return pending
  }

  protected override cancelBy(mark: MarkRecord, registrations: readonly Registration[]): void {
    this.#post({ type: 'cancelled', ids: registrations.map(({ id }) => id), mark })
  }

  /** The hub in the other thread publishes. */
  protected override publish(): void {}

  async #call(request: RequestOf<'call'>): Promise<void> {
    const { call } = request
    try {
      this.#post({ type: 'answer', call, value: await this.#answer(request) })
    } catch (error) {
      this.#post({ type: 'answer', call, error: plainError(error) })
    }
  }

  async #answer(request: RequestOf<'call'>): Promise<unknown> {
    switch (request.what) {
      case 'connect':
        await this.connect(request.ask.lazy)
        return undefined
      case 'cancel':
        return this.storeAndCount(request.ask.request, request.ask.record, undefined)
      case 'list':
        return this.reports(request.ask.prefix)
      case 'forget':
        return this.forgetMark(request.ask.topic)
      case 'lease': {
        const { id, request: lease } = request.ask
        const registration = this.register(lease.topic, 'lease', 'keep', id)
        const toOther = ({ deadline, wall }: Expiry) => ({ deadline: deadline + this.#ahead, wall })
        let fence = 0
        const proxy = await this.keepLease(registration, lease, (given, expiry) => {
          fence = given
          return new LeaseProxy(registration, this.#post, expiry, toOther)
        })
        return { fence, expiry: toOther(proxy.expiry) }
      }
      default: {
        const undelivered = await this.finish(request.ask.timeout)
        await this.shut()
        return undelivered
      }
    }
  }
}

/** Messages are handled in order. They wait until the hub is there. */
function listen(port: MessagePort): void {
  let mailbox: MailboxSender | undefined
  let hub: Promise<WorkerHub> | undefined
  let failure: unknown
  process.on('uncaughtExceptionMonitor', (error) => (failure = error))
  process.on('exit', () =>
    mailbox?.put({ type: 'ending', error: failure === undefined ? failure : plainError(failure) }),
  )
  port.on('message', (message: WorkerStart | TimedRequest) => {
    if (hub) {
      // The answer to the first call reports an error of the start.
      const refuse = (error: unknown) => {
        const { call } = message as { readonly call?: number }
        if (call !== undefined) mailbox?.put({ type: 'answer', call, error: plainError(error) })
      }
      hub.then((found) => found.hear(message as TimedRequest), refuse)
      return
    }
    const start = message as WorkerStart
    const sender = new MailboxSender(start.port as MessagePort, start.bell, () => port.postMessage(0))
    mailbox = sender
    sender.put({ type: 'started' })
    hub = open(start, (event) => sender.put(event))
    hub.catch(() => {})
  })
}

async function open({ url, options, session }: WorkerStart, post: Post): Promise<WorkerHub> {
  const settings = settingsOf(options)
  return new WorkerHub(await engineOf(url, credentialsOf(options)), settings, environmentOf(session), post)
}

if (parentPort) listen(parentPort)
