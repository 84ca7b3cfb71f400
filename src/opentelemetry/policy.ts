/** What each kind of cancellation means for the status of a span. */
import { shown } from '../core/arguments.js'
import { type CancellationKind, KINDS } from '../core/errors.js'
import { nearest } from '../core/nearest.js'

/**
 * How a cancellation is shown. `'unset'`: by an event, and the status of the span stays as it is. `'error'`: by an
 * event, and the span gets the status ERROR and the attribute `error.type`. `'ignore'`: neither. The metrics count
 * it in any case.
 */
export type CancellationTreatment = 'unset' | 'error' | 'ignore'

/** How cancellations are shown, by their kinds. */
export type CancellationPolicy = { readonly [K in CancellationKind]?: CancellationTreatment | undefined }

const TREATMENTS: readonly unknown[] = ['unset', 'error', 'ignore'] satisfies CancellationTreatment[]

/** A deadline has passed, or a lease was lost. All other kinds are intended: they are not errors. */
const DEFAULTS: CancellationPolicy = { timeout: 'error', lease: 'error' }

/** Returns the treatment of each kind. Throws `TypeError` for a kind or a treatment that does not exist. */
export function policyOf(given: CancellationPolicy | undefined): (kind: CancellationKind) => CancellationTreatment {
  if (given !== undefined && (typeof given !== 'object' || given === null || Array.isArray(given))) {
    throw new TypeError(`policy must be an object, got ${shown(given)}`)
  }
  const policy: Record<string, CancellationTreatment | undefined> = { ...DEFAULTS }
  for (const [kind, treatment] of Object.entries(given ?? {})) {
    if (!Object.hasOwn(KINDS, kind)) {
      const meant = nearest(kind, Object.keys(KINDS))
      throw new TypeError(
        `policy has no kind ${shown(kind)}, ${meant === undefined ? `only ${Object.keys(KINDS).join(', ')}` : `did you mean ${shown(meant)}?`}`,
      )
    }
    if (treatment === undefined) continue
    if (!TREATMENTS.includes(treatment)) {
      throw new TypeError(`policy.${kind} must be 'unset', 'error' or 'ignore', got ${shown(treatment)}`)
    }
    policy[kind] = treatment
  }
  return (kind) => policy[kind] ?? 'unset'
}
