import { type CancellationToken, DefaultToken, SimpleToken } from '../token.js'

/** Never cancelled: C#'s `None`, Go's `Background`. */
export const NEVER: DefaultToken = /* @__PURE__ */ new DefaultToken()

/** Cancelled from the start. */
export const CANCELLED: CancellationToken = /* @__PURE__ */ new SimpleToken({ cancelled: true })
