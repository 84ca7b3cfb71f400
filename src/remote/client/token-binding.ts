/** The place of one token in its hub: what the token knows of the hub, and the hub does for it. */
import type { SharedWord } from '../../core/clock.js'
import type { Cancellation } from '../../core/graph.js'
import type { Callee } from '../../core/traces.js'
import type { Holding } from './registration.js'
import type { Who } from '../contract/hub.js'
import type { Desk, RemoteToken } from '../contract/remote-token.js'

/** What a hub does for all its tokens. */
export interface Office {
  whoOf(holding: Holding): Who
  deliver(holding: Holding, cancellation: Cancellation, callee: Callee | undefined): void
  changed(holding: Holding): void
  leave(holding: Holding): void
  /** What another thread has to say, where the connection lives in one. */
  readonly line?: { poll(): void; readonly word: SharedWord | undefined }
}

/** Two fields, since there is one for each open token; what it does stands in the office, which is there once. */
export class HubDesk implements Desk {
  readonly #holding: Holding
  readonly #office: Office

  constructor(holding: Holding, office: Office) {
    this.#holding = holding
    this.#office = office
  }

  get name(): string {
    return this.#holding.topic.name
  }

  get run(): string {
    return this.#holding.topic.run
  }

  get ready(): Promise<void> {
    return this.#holding.ready.promise
  }

  get delivered(): Promise<void> {
    return this.#holding.delivered.promise
  }

  get word(): SharedWord | undefined {
    return this.#office.line?.word
  }

  get who(): Who {
    return this.#office.whoOf(this.#holding)
  }

  deliver(cancellation: Cancellation, callee?: Callee): void {
    this.#office.deliver(this.#holding, cancellation, callee)
  }

  changed(): void {
    this.#office.changed(this.#holding)
  }

  keep(token: RemoteToken | undefined): void {
    if (this.#holding.role === 'open') this.#holding.keep(token)
  }

  poll(): void {
    this.#office.line?.poll()
  }

  close(): void {
    this.#office.leave(this.#holding)
  }
}
