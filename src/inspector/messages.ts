/** The messages between the main thread and the thread of the inspector. */
import type { CancelAnswer, ProcessReport, Snapshot } from './report.js'

/** What the thread needs to begin. */
export interface ThreadData {
  readonly path: string
  readonly isPipe: boolean
  readonly memory: SharedArrayBuffer
  readonly self: Omit<ProcessReport, 'busy' | 'snapshot'>
}

export type ToMain =
  | { readonly type: 'failed'; readonly why: string }
  /** Only to see whether it answers. */
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'tree'; readonly id: number }
  /** The main thread must claim the id first: see SharedState. */
  | { readonly type: 'cancel'; readonly id: number; readonly path: string; readonly reason: string | undefined }

export type ToThread =
  | { readonly type: 'pong'; readonly id: number }
  | { readonly type: 'tree'; readonly id: number; readonly snapshot: Snapshot }
  /** Sent unasked: what the thread reports while the main thread does not answer. */
  | { readonly type: 'journal'; readonly snapshot: Snapshot }
  | { readonly type: 'cancel'; readonly id: number; readonly answer: CancelAnswer }
