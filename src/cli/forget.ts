import type { Given } from './given.js'
export async function forget(_given: Given): Promise<number> {
  return 0
}
