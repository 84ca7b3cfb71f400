/** Which runtime this is: what each is known to do differently is said where it is tested. */
const host = globalThis as { readonly Bun?: unknown; readonly Deno?: unknown }

export const isBun = host.Bun !== undefined
export const isDeno = host.Deno !== undefined
