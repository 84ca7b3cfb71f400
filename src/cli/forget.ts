import type { Given } from './given.js'
import { OK } from './exit-codes.js'
import { checkName, close, connect, runOf } from './hub.js'
import { show } from './say.js'
import { visible } from './visible.js'

/** `calloff forget` */
export async function forget(given: Given): Promise<number> {
  const names = given.operands.map((name) => checkName(name))
  const hub = await connect(given)
  try {
    await Promise.all(names.map((name) => hub.forget(name, runOf(given))))
    if (given.has('quiet')) return OK
    return show(names.map((name) => `${visible(name)}: forgotten\n`).join(''))
  } finally {
    await close(hub)
  }
}
