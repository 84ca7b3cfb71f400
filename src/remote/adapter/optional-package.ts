/**
 * Optional packages are loaded by `await import('name')` directly in the block of a `try`. Only from that form does every bundler see that
 * the package may be missing, and leave the import unchanged. The errors of a missing package differ.
 */

/** The messages of Node, Bun, Deno, and of the replacements by webpack, Parcel and Metro. */
const codes: ReadonlySet<unknown> = new Set(['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'])

/** Whether an import failed because the package is not installed, or was not installed when the program was bundled. */
export function missing(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown }
  return codes.has(code) || /^(?:Could not resolve|Cannot find (?:module|package)) /.test(String(message))
}
