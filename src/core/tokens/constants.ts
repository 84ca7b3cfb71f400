import { type CancellationToken, DefaultToken, SimpleToken } from '../token.js'

/** A token that is never cancelled: C#'s `None`, Go's `Background`. */
export const NEVER: DefaultToken = /* @__PURE__ */ new DefaultToken()

/** A token that is cancelled from the start. */
export const CANCELLED: CancellationToken = /* @__PURE__ */ new SimpleToken({ cancelled: true })
