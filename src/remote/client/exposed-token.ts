import { type Cancellation, discover, READ, subscribe, type Subscriber } from '../../core/graph.js'
import type { CancellationToken } from '../../core/token.js'
import { ACKNOWLEDGED } from '../contract/engine.js'
import type { Exposure } from '../contract/hub.js'
import { keepOwnerAlive } from '../contract/keep-alive.js'
import type { TokenBinding } from '../contract/remote-token.js'
import type { RegisteredToken } from './registration.js'

/** A local token of any kind that other processes see. */
export class ExposedToken implements RegisteredToken, Exposure {
  readonly #binding: TokenBinding
  readonly #source: CancellationToken
  readonly #cancellable: boolean
  #subscriber: Subscriber | undefined
  #isClosed = false

  constructor(binding: TokenBinding, source: CancellationToken, cancellable: boolean) {
    this.#binding = binding
    this.#source = source
    this.#cancellable = cancellable
  }

  /** From now on other processes learn when the local token is cancelled. */
  begin(): void {
    const cancelled = () => {
      this.#binding.deliver(discover(this.#source, READ) as Cancellation)
      this.#binding.changed(ACKNOWLEDGED, false)
    }
    if (discover(this.#source, READ)) cancelled()
    else this.#subscriber = subscribe(this.#source, cancelled)
  }

  get name(): string {
    return this.#binding.topic.name
  }

  get runId(): string {
    return this.#binding.topic.runId
  }

  get ready(): Promise<void> {
    return keepOwnerAlive(this.#binding.readiness.promise, this)
  }

  get delivered(): Promise<void> {
    return keepOwnerAlive(this.#binding.delivery.promise, this)
  }

  get readsCancelled(): boolean {
    return discover(this.#source, READ) !== undefined
  }

  applyCancel(cancellation: Cancellation): void {
    if (this.#cancellable && !this.#isClosed && !this.readsCancelled) this.#source.cancel(cancellation.reason)
  }

  /** A lost connection or lease never cancels the local token. */
  cancelHere(): void {}

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#subscriber?.stop()
    this.#binding.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
