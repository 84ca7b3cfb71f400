/** The durable changes of a store, as they are written to the journal. */
import type { MarkRecord, Topic } from '../contract/engine.js'

/** A durable change. `until` is a time of the wall clock, the only clock that survives a crash. */
export type Change =
  | { readonly type: 'mark'; readonly topic: Topic; readonly mark: MarkRecord; readonly until: number }
  | { readonly type: 'forget'; readonly topic: Topic }
  /** The rest of a forgotten mark, in a compacted journal. */
  | { readonly type: 'forgotten'; readonly id: string; readonly until: number }
  | {
      readonly type: 'lease'
      readonly topic: Topic
      readonly owner: string
      readonly fence: number
      readonly ttl: number
      /** The state of earlier terms, see `LeaseRecord`. */
      readonly lost: number
    }
  /** A lease has ended: it was lost, or released. */
  | { readonly type: 'over' | 'release'; readonly topic: Topic; readonly fence: number; readonly until: number }

/** The shortest list of changes that leads to the present state. The state may change while it is read. */
export interface Snapshot extends Iterable<Change> {
  /** Ends the snapshot. Returns the later changes of topics that the snapshot had already passed. */
  end(): readonly Change[]
}

/** Stores changes. */
export interface Recorder {
  /** Resolves when the change is durable. Calls resolve in their order. */
  append(change: Change): Promise<void>
}
