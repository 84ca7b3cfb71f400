import type { Given } from './given.js'
export async function watch(_given: Given): Promise<number> {
  return 0
}
