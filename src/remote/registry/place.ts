import { carrierOf } from './schemes.js'

/** Returns the URL without its secrets. */
export function placeOf({ href, protocol, host }: URL): string {
  return carrierOf(href) === 'socket' ? href : `${protocol}//${host}`
}
