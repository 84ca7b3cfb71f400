/** What a hub knows of one of its tokens: its place in the others' lists, and what it was promised. */
import type { Cancellation } from '../../core/graph.js'
import {
  ACKNOWLEDGED,
  FINISHED,
  type HolderRecord,
  type MarkRecord,
  OPEN,
  ROLES,
  type Topic,
} from '../contract/engine.js'
import type { Who } from '../contract/hub.js'
import { Later } from '../contract/deferred.js'

/** Whose place it is: a `RemoteToken`, or something local that was exposed. */
export interface Target {
  /** It is cancelled, by somebody else, or through another token of its name here. */
  arrive(found: Cancellation, who: Who, record?: MarkRecord): void
  /** It cannot go on, though nobody has cancelled it. */
  fall(kind: 'disconnect' | 'lease'): void
  /** The hub is closed, or the token is. */
  close(): void
  /** Whether it is over here. */
  readonly isOver: boolean
  /** Whether it has ended here alone, which concerns nobody else. */
  readonly endsAlone: boolean
  /** Whether all that was to be done under it is over, too. */
  readonly isFinished: boolean
}

/** Something that happens once, or not: a promise is made only if somebody asks for one. */
export class Milestone {
  #outcome: true | Error | undefined
  #later: Later<void> | undefined

  get isReached(): boolean {
    return this.#outcome === true
  }

  settle(error?: Error): void {
    if (this.#outcome) return
    this.#outcome = error ?? true
    if (error) this.#later?.reject(error)
    else this.#later?.resolve()
  }

  get promise(): Promise<void> {
    if (!this.#later) {
      this.#later = new Later()
      if (this.#outcome === true) this.#later.resolve()
      else if (this.#outcome) this.#later.reject(this.#outcome)
    }
    return this.#later.promise
  }
}

export class Holding {
  readonly id: number
  readonly topic: Topic
  readonly role: (typeof ROLES)[number]
  readonly since: number
  readonly onDisconnect: 'keep' | 'cancel'
  readonly ready = new Milestone()
  /** When it was ready, where that matters: see registry-sync.ts. */
  readyAt = 0
  readonly delivered = new Milestone()
  state = OPEN
  /** The fence of the lease it stands and falls with; undefined if there is none. */
  term: number | undefined
  /** Garbage where nobody keeps the token. */
  #weak: WeakRef<Target> | undefined
  #strong: Target | undefined

  constructor(id: number, topic: Topic, role: Holding['role'], since: number, onDisconnect: 'keep' | 'cancel') {
    this.id = id
    this.topic = topic
    this.role = role
    this.since = since
    this.onDisconnect = onDisconnect
  }

  get record(): HolderRecord {
    const { id, topic, state, role, since } = this
    return { id, topic, state, role: ROLES.indexOf(role), since }
  }

  get target(): Target | undefined {
    return this.#strong ?? this.#weak?.deref()
  }

  give(target: Target): void {
    this.#weak = new WeakRef(target)
  }

  /** Keeps the token, or lets it go. */
  keep(target: Target | undefined): void {
    this.#strong = target
  }

  /** How it stands, by what its token says. True if that is new. */
  look(): boolean {
    const { target } = this
    const state = !target ? OPEN : target.isFinished ? FINISHED : target.isOver ? ACKNOWLEDGED : OPEN
    if (state <= this.state) return false
    this.state = state
    return true
  }
}
