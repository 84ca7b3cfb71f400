/**
 * Optional packages are loaded by `await import('name')` standing directly in the block of a `try`: from that form, and no other,
 * every bundler sees that the package may be missing, and leaves the import as it is. What it throws then differs.
 */

/** Node, Bun, Deno, and what webpack, Parcel and Metro put in place of the import. */
const codes: ReadonlySet<unknown> = new Set(['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'])

/** Whether an import has failed because the package is not installed, or was not when the program was bundled. */
export function missing(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown }
  return codes.has(code) || /^(?:Could not resolve|Cannot find (?:module|package)) /.test(String(message))
}
