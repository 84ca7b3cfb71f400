import type { CancelEvent, Observer, ScopeEvent } from '../core/observers.js'
import type { CancellationToken } from '../core/token.js'

/**
 * Tells the end of a scope from a cancellation: when its body and all its tasks have ended, a scope cancels its own token
 * (kind `'dispose'`), and this stops nothing.
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
