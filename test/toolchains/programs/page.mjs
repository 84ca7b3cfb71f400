import { everyday } from './everyday.mjs'

everyday().then(
  (found) => (globalThis.found = JSON.stringify(found)),
  (error) => (globalThis.found = String(error?.stack ?? error)),
)
