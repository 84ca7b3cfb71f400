import type { Given } from './given.js'
export async function wait(_given: Given): Promise<number> {
  return 0
}
