import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CancellationToken, SimpleToken } from 'calloff'
import fc from 'fast-check'
import { runs } from './runs.js'

type Operation =
  | { readonly do: 'derive' | 'listen' | 'cancel' | 'await'; readonly token: number }
  | { readonly do: 'resolve' | 'reject'; readonly reaction: number }

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('derive' as const), token: fc.nat(20) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('listen' as const), token: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), token: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('await' as const), token: fc.nat(20) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('resolve', 'resolve', 'reject'), reaction: fc.nat(20) }) },
)

interface Node {
  readonly token: CancellationToken
  readonly parent: number | undefined
  /** The number of its cancellation. */
  cancelled: number | undefined
}

interface Reaction {
  readonly node: number
  readonly cancelled: number
  isPending: boolean
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Everything that is due has run after that. */
const flush = () => new Promise<void>((resolve) => void setImmediate(resolve))

test('settled resolves exactly when the token is cancelled and no listener of it, or below it, is still busy', async () => {
  const { reportError } = globalThis
  let uncaught = 0
  globalThis.reportError = () => void uncaught++
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async (operations) => {
        const nodes: Node[] = [{ token: new SimpleToken(), parent: undefined, cancelled: undefined }]
        const reactions: Reaction[] = []
        const awaited: { readonly node: number; isDone: boolean; isDue: boolean }[] = []
        let cancellations = 0
        let failures = 0
        uncaught = 0

        const isBelow = (node: number | undefined, top: number): boolean =>
          node !== undefined && (node === top || isBelow(nodes[node]?.parent, top))
        const cancel = (top: number) => {
          if (nodes[top]?.cancelled !== undefined) return
          cancellations++
          for (const [i, node] of nodes.entries()) if (isBelow(i, top)) node.cancelled ??= cancellations
        }
        const listen = (node: number) =>
          new Promise<void>((resolve, reject) =>
            reactions.push({ node, cancelled: nodes[node]?.cancelled as number, isPending: true, resolve, reject }),
          )

        try {
          for (const one of operations) {
            if ('token' in one) {
              const at = one.token % nodes.length
              const { token, cancelled } = nodes[at] as Node
              if (one.do === 'derive') nodes.push({ token: new SimpleToken(token), parent: at, cancelled })
              else if (one.do === 'listen') token.onCancel(() => listen(at))
              else if (one.do === 'cancel') {
                cancel(at)
                token.cancel()
              } else {
                const wait = { node: at, isDone: false, isDue: false }
                awaited.push(wait)
                void token.settled().then((report) => (wait.isDone = report.cancelled && !report.pending.length))
              }
            } else if (reactions.length > 0) {
              const reaction = reactions[one.reaction % reactions.length] as Reaction
              if (one.do === 'reject' && reaction.isPending) failures++
              reaction.isPending = false
              if (one.do === 'reject') reaction.reject(new Error('the listener failed'))
              else reaction.resolve()
            }
            await flush()
            for (const wait of awaited) {
              const cancelled = nodes[wait.node]?.cancelled
              const isBusy = reactions.some(
                (other) => other.isPending && other.cancelled === cancelled && isBelow(other.node, wait.node),
              )
              wait.isDue ||= cancelled !== undefined && !isBusy
              assert.equal(wait.isDone, wait.isDue, `settled of token ${wait.node}`)
            }
            assert.equal(uncaught, failures)
          }
        } finally {
          // What still waits would hold the process.
          nodes[0]?.token.cancel()
          for (const { resolve } of reactions) resolve()
        }
      }),
      runs(2_000),
    )
  } finally {
    globalThis.reportError = reportError
  }
})
