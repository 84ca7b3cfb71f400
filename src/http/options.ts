/** The options of `hubHandler`, checked. */
import { isArray, type NamesOf, optionalCount, optionalNonNegative, optionsOf, wrongType } from '../core/arguments.js'

/** What a request wants to do, and to which names. */
export interface Asked {
  readonly action: 'list' | 'read' | 'cancel' | 'forget' | 'watch' | 'hold'
  /** The name. Undefined if the request is about all names that begin with `prefix`. */
  readonly name: string | undefined
  /** The run of the name. Undefined without a name. */
  readonly runId: string | undefined
  /** The beginning of the names; `''` is all names. Undefined if the request is about one name. */
  readonly prefix: string | undefined
}

/**
 * Whether a request is allowed: `true`, or a refusal. 401 means that the sender is unknown, `false` and 403 that the sender may not do
 * this.
 */
export type Authorization = boolean | 401 | 403

/** Limits of a handler. All times are in milliseconds. */
export interface HandlerLimits {
  /** The largest body of a request, in bytes. Default: 16,384. */
  readonly body?: number | undefined
  /** How long the body of a request may take to arrive. Default: 10,000. */
  readonly bodyTime?: number | undefined
  /** How many streams and holds there may be, and requests that wait for holders. Default: 5,000. */
  readonly streams?: number | undefined
  /** How many of them one client may have: see `clientOf`. Default: 100. */
  readonly streamsOfClient?: number | undefined
  /** How many changes are kept for clients that reconnect, for each prefix or name that a client watches. Default: 2,000. */
  readonly changes?: number | undefined
  /** How long a client may leave a stream unread before it is cut off. Default: 60,000. */
  readonly stalled?: number | undefined
  /** How long one stream lasts. Then the client reconnects, and is authorized again. Default: 3,600,000, an hour. */
  readonly stream?: number | undefined
}

/** The options of `hubHandler`. */
export interface HubHandlerOptions {
  /**
   * Decides whether a request is allowed. It is called before the body is read, and must not read the body. Only `true`, or a promise
   * for it, lets the request in. If it throws, or does not answer in ten seconds, the request is answered with 500, and `onError` is
   * called.
   *
   * It is not called for `/v1/holds/…`: these requests contain the id of a hold, which only the client that has opened it knows. Nor is
   * it called for what is refused before: an unknown path or a wrong parameter, and a page of another origin.
   */
  readonly authorize: (request: Request, asked: Asked) => Authorization | PromiseLike<Authorization>
  /** What the paths begin with, such as `'/calloff'`, without a slash at its end. Default: `''`. */
  readonly basePath?: string | undefined
  /** The origins of other sites whose pages may send requests, such as `'https://app.example'`. Default: none. */
  readonly origins?: readonly string[] | undefined
  /**
   * Identifies the client of a request, for the limit of streams. Default: the `Authorization` and `Cookie` headers; requests without
   * both count as one client.
   */
  readonly clientOf?: ((request: Request) => string) | undefined
  /**
   * Called with an error of `authorize` or `clientOf`, with a refusal of the hub, and with a fault of the handler. The client is not
   * told of the error. Default: `console.error`.
   */
  readonly onError?: ((error: unknown) => void) | undefined
  /**
   * The pause between two lists of the names while a client watches, in milliseconds, at least 10. After a list that took long, the
   * pause is ten times as long as the list took. Default: 250.
   */
  readonly pace?: number | undefined
  /** The time between two comments on a stream, which keep proxies from ending it, in milliseconds, at least 10. Default: 15,000. */
  readonly heartbeat?: number | undefined
  /** What clients may use up. */
  readonly limits?: HandlerLimits | undefined
}

const NAMES: NamesOf<HubHandlerOptions> = [
  'authorize',
  'basePath',
  'origins',
  'clientOf',
  'onError',
  'pace',
  'heartbeat',
  'limits',
]
const LIMITS: NamesOf<HandlerLimits> = [
  'body',
  'bodyTime',
  'streams',
  'streamsOfClient',
  'changes',
  'stalled',
  'stream',
]

export type Settings = {
  readonly [K in Exclude<keyof HubHandlerOptions, 'limits' | 'origins'>]-?: NonNullable<HubHandlerOptions[K]>
} & {
  readonly origins: ReadonlySet<string>
  readonly limits: { readonly [K in keyof HandlerLimits]-?: number }
}

/** Returns the options with their defaults. Throws `TypeError` or `RangeError` for a wrong one. */
export function settingsOf(options: HubHandlerOptions): Settings {
  const given = optionsOf(options, NAMES)
  const limits = optionsOf(given.limits, LIMITS)
  return {
    authorize: checkedFunction('authorize', given.authorize),
    basePath: basePathFrom(given.basePath),
    origins: originsFrom(given.origins),
    clientOf: checkedFunction('clientOf', given.clientOf ?? credentialsOf),
    // oxlint-disable-next-line no-console -- the default, which an application can replace
    onError: checkedFunction('onError', given.onError ?? ((error: unknown) => console.error(error))),
    pace: interval('pace', given.pace, 250),
    heartbeat: interval('heartbeat', given.heartbeat, 15_000),
    limits: {
      body: optionalCount('body', limits.body) ?? 16_384,
      bodyTime: optionalNonNegative('bodyTime', limits.bodyTime) ?? 10_000,
      streams: optionalCount('streams', limits.streams) ?? 5_000,
      streamsOfClient: optionalCount('streamsOfClient', limits.streamsOfClient) ?? 100,
      changes: optionalCount('changes', limits.changes) ?? 2_000,
      stalled: optionalNonNegative('stalled', limits.stalled) ?? 60_000,
      stream: optionalNonNegative('stream', limits.stream) ?? 3_600_000,
    },
  }
}

function checkedFunction<F>(argument: string, value: F | undefined): F {
  if (typeof value !== 'function') throw wrongType(argument, 'a function', value)
  return value
}

function interval(argument: string, value: unknown, otherwise: number): number {
  const ms = optionalNonNegative(argument, value) ?? otherwise
  if (ms < 10 || ms > 2 ** 31 - 1) throw new RangeError(`${argument} must be from 10 to ${2 ** 31 - 1}, got ${ms}`)
  return ms
}

function basePathFrom(value: unknown = ''): string {
  const isPath = typeof value === 'string' && /^(\/[^/?#\s]+)*$/.test(value)
  // A path that `URL` would write in another way, such as `/a b`, would match no request.
  if (!isPath || new URL(value, 'http://localhost').pathname !== (value || '/')) {
    throw wrongType('basePath', "'' or a path such as '/calloff', without a slash at its end", value)
  }
  return value
}

function originsFrom(value: unknown = []): ReadonlySet<string> {
  if (!isArray(value)) throw wrongType('origins', 'an array of origins', value)
  for (const origin of value as unknown[]) {
    const isOrigin = typeof origin === 'string' && URL.canParse(origin) && new URL(origin).origin === origin
    if (!isOrigin) throw wrongType('origins', "an array of origins such as 'https://app.example'", origin)
  }
  return new Set(value as string[])
}

function credentialsOf({ headers }: Request): string {
  return `${headers.get('authorization') ?? ''}\n${headers.get('cookie') ?? ''}`
}
