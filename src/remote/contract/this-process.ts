import { hostname } from 'node:os'
import process from 'node:process'
import { cut } from './mark.js'
import { NAME_BYTES } from './limits.js'

/** Where this is, as the others are told. */
export function here(): { readonly host: string; readonly pid: number } {
  return { host: cut(hostname(), NAME_BYTES), pid: process.pid }
}
