/**
 * Read-only views of tokens.
 *
 * A view is no node of the graph. Its methods are those of a token, and `own()` finds the token behind it, as it does
 * for a proxy. So a view costs a poll nothing, and a token that is made from a view has the token itself as its source.
 */
import { own, VIEW, viewed } from './graph.js'
import { NEVER_BRAND } from './foreign.js'
import type { TokenNode } from './graph.js'
import type { CancellationToken } from './token.js'

/**
 * A token without the methods that cancel it: for code that may heed a token and must not cancel it. Every function of
 * this package that takes a token takes a view.
 */
export interface TokenView extends Omit<CancellationToken, 'cancel' | typeof Symbol.dispose> {}

const views = new WeakMap<TokenNode, object>()
let prototype: object | undefined

/** Returns the view of a node, the same one at every call. `token` is the prototype of all tokens. */
export function viewOf(node: TokenNode, token: object, unclonable: symbol): object {
  let view = views.get(node)
  if (!view) {
    prototype ??= Object.create(token, {
      cancel: { value: undefined },
      [Symbol.dispose]: { value: undefined },
      text: { get: textOfView },
      [NEVER_BRAND]: { get: isNever },
    }) as object
    view = Object.create(prototype) as object
    // The first property, as on a token, so that the message of a refused clone names it.
    Object.defineProperties(view, { unclonable: { value: unclonable, enumerable: true }, [VIEW]: { value: view } })
    viewed.set(view, node)
    views.set(node, view)
  }
  return view
}

function textOfView(this: TokenNode): string {
  return `${(own(this) as CancellationToken).text}.view`
}

function isNever(this: TokenNode): boolean {
  return NEVER_BRAND in own(this)
}
