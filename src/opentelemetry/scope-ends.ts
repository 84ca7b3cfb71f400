import type { CancelEvent, Observer, ScopeEvent } from '../core/observers.js'
import type { CancellationToken } from '../core/token.js'

/**
 * Knows the scopes, and tells the end of a scope from a cancellation: a scope whose work is done cancels its own token
 * (kind `'dispose'`), and nothing of it is left that this could stop.
 */
export class ScopeEnds implements Observer {
  readonly #scopes = new WeakMap<CancellationToken, ScopeEvent>()

  scopeStart(scope: ScopeEvent): void {
    this.#scopes.set(scope.token, scope)
  }

  isEnd({ kind, token }: CancelEvent): boolean {
    if (kind !== 'dispose') return false
    const scope = this.#scopes.get(token)
    return scope !== undefined && !scope.isBodyRunning && scope.unfinished().length === 0
  }
}
