/** Identifies a failure of a hub. Codes do not change between versions. */
export type HubErrorCode =
  | 'ERR_HUB_AUTH'
  | 'ERR_HUB_CLOSED'
  | 'ERR_HUB_HELD'
  | 'ERR_HUB_JOURNAL'
  | 'ERR_HUB_PROTOCOL'
  | 'ERR_HUB_REFUSED'
  | 'ERR_HUB_SCHEME'
  | 'ERR_HUB_UNREACHABLE'
  | 'ERR_HUB_WORKER'
  | 'ERR_LEASE_HELD'

/** A failure of a hub. It is not a cancellation. Tell failures apart by `code`. */
export class HubError extends Error {
  readonly code: HubErrorCode

  constructor(code: HubErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }
}

Object.defineProperty(HubError.prototype, 'name', { value: 'HubError', writable: true, configurable: true })

/** Returns `thrown` if it is an error, otherwise a `HubError` with it as its cause. */
export function errorFrom(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new HubError('ERR_HUB_UNREACHABLE', String(thrown), { cause: thrown })
}

export function closed(): HubError {
  return new HubError('ERR_HUB_CLOSED', 'the hub is closed')
}
