/** The variable that asks for the inspector. */
import process from 'node:process'

interface Deno {
  readonly permissions?: { querySync?(of: { name: 'env'; variable: string }): { readonly state: string } }
}

const VARIABLE = 'CALLOFF_INSPECT'

/** Returns whether `CALLOFF_INSPECT` asks for the inspector, and whether it may cancel. */
export function wanted(): 'no' | 'look' | 'cancel' {
  const { Deno } = globalThis as { readonly Deno?: Deno }
  // A read without the permission would make Deno ask the user for it.
  if (Deno && Deno.permissions?.querySync?.({ name: 'env', variable: VARIABLE }).state !== 'granted') return 'no'
  const value = process.env[VARIABLE]
  if (value === undefined || value === '' || value === '0') return 'no'
  return value === 'cancel' ? 'cancel' : 'look'
}
