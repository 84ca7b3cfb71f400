import type { ParsedArguments } from '../arguments/parse.js'
import { OK } from '../terminal/exit-codes.js'
import { atHub, checkName, runIdOf } from '../connect/hub.js'
import { printResult } from '../terminal/output.js'
import { visible } from '../terminal/visible.js'

/** `calloff forget` */
export async function forget(given: ParsedArguments): Promise<number> {
  const names = given.operands.map((name) => checkName(name))
  const options = runIdOf(given)
  const one = names.length === 1
  await atHub(given, `whether ${one ? 'it is' : 'they are'} forgotten is not known`, (hub) =>
    Promise.all(names.map((name) => hub.forget(name, options))),
  )
  if (given.has('quiet')) return OK
  return printResult(names.map((name) => `${visible(name)}: forgotten\n`).join(''))
}
