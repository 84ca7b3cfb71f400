// A program that imports only 'calloff' and asks for the ambient token.
import { NEVER, NoAmbientError, openScope, scope } from 'calloff'

const asked: readonly (() => unknown)[] = [
  () => scope(() => 1, { ambient: true }),
  () => NEVER.race(() => 1, { ambient: true }),
  async () => openScope(undefined, { ambient: true }),
]
for (const ask of asked) {
  try {
    await ask()
    console.log('nothing')
  } catch (error) {
    if (!(error instanceof NoAmbientError)) throw error
    console.log(`${error.name} ${error.code}: ${error.message}`)
  }
}
console.log(await scope(() => 'works without', { ambient: false }))
