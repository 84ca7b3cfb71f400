import type { Given } from './given.js'
export async function status(_given: Given): Promise<number> {
  return 0
}
