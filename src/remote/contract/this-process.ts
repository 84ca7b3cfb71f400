import { hostname } from 'node:os'
import process from 'node:process'
import { cut } from './mark.js'
import { NAME_BYTES } from './limits.js'

/** The host and the process id that other processes see. */
export function here(): { readonly host: string; readonly pid: number } {
  return { host: cut(hostname(), NAME_BYTES), pid: process.pid }
}
