/** Subscriptions that end with the code that needs them. */
import diagnostics from 'node:diagnostics_channel'

/** Subscribes to one channel while `body` runs. Returns the messages. */
export async function heard<M>(name: string, body: () => unknown): Promise<M[]> {
  const messages: M[] = []
  const hear = (message: unknown) => void messages.push(message as M)
  diagnostics.subscribe(name, hear)
  try {
    await body()
  } finally {
    diagnostics.unsubscribe(name, hear)
  }
  return messages
}

export const STEPS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const

export interface Step<M> {
  readonly step: (typeof STEPS)[number]
  readonly message: M
}

/** Subscribes to a tracing channel while `body` runs. Returns what was published, in order. */
export async function traced<M extends object>(name: string, body: () => unknown): Promise<Step<M>[]> {
  const all: Step<M>[] = []
  const channel = diagnostics.tracingChannel<unknown, M>(name)
  const handlers = Object.fromEntries(
    STEPS.map((step) => [step, (message: M) => void all.push({ step, message })]),
  ) as unknown as diagnostics.TracingChannelSubscribers<M>
  channel.subscribe(handlers)
  try {
    await body()
  } finally {
    channel.unsubscribe(handlers)
  }
  return all
}
