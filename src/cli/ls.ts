import type { Given } from './given.js'
export async function ls(_given: Given): Promise<number> {
  return 0
}
