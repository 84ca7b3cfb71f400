/** A local token, of whatever kind, that others see. */
import { type Cancellation, discover, LOOK, subscribe, type Subscriber } from '../../core/graph.js'
import type { CancellationToken } from '../../core/token.js'
import { held } from '../contract/keep-alive.js'
import type { Target } from './registration.js'
import type { Exposure } from '../contract/hub.js'
import type { Desk } from '../contract/remote-token.js'

export class Exposed implements Target, Exposure {
  readonly #desk: Desk
  readonly #source: CancellationToken
  readonly #cancellable: boolean
  #subscriber: Subscriber | undefined
  #isClosed = false

  constructor(desk: Desk, source: CancellationToken, cancellable: boolean) {
    this.#desk = desk
    this.#source = source
    this.#cancellable = cancellable
  }

  /** From now on the others hear of its end. */
  begin(): void {
    const ended = () => {
      this.#desk.deliver(discover(this.#source, LOOK) as Cancellation)
      this.#desk.changed()
    }
    if (discover(this.#source, LOOK)) ended()
    else this.#subscriber = subscribe(this.#source, ended)
  }

  get name(): string {
    return this.#desk.name
  }

  get run(): string {
    return this.#desk.run
  }

  get ready(): Promise<void> {
    return held(this.#desk.ready, this)
  }

  get delivered(): Promise<void> {
    return held(this.#desk.delivered, this)
  }

  get isOver(): boolean {
    return discover(this.#source, LOOK) !== undefined
  }

  get endsAlone(): boolean {
    return false
  }

  get isFinished(): boolean {
    return this.#isClosed
  }

  arrive(found: Cancellation): void {
    if (this.#cancellable && !this.#isClosed && !this.isOver) this.#source.cancel(found.reason)
  }

  /** What is exposed is not the hub's to end. */
  fall(): void {}

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#subscriber?.stop()
    this.#desk.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
