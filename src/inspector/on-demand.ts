/** For calloff/node: starts the inspector if the environment asks for it. */
import { emitWarning } from '../core/scope/unfinished.js'
import { collect } from './collect.js'
import { wanted } from './environment.js'

if (wanted() !== 'no') {
  // At once, so that the first scopes of the program are seen. The rest is loaded only now.
  collect()
  import('./start.js').then(
    ({ startInspector }) => startInspector(),
    (error: unknown) =>
      emitWarning(`the inspector cannot be loaded: ${String(error)}`, 'InspectorWarning', 'CALLOFF_INSPECTOR'),
  )
}
