/** Stands for your sign-in: each browser is a user, known by a signed cookie. */
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import process from 'node:process'

const sign = (user) => createHmac('sha256', process.env.SESSION_KEY).update(user).digest()

export function newSession() {
  const user = randomUUID()
  const cookie = `session=${user}.${sign(user).toString('base64url')}; HttpOnly; SameSite=Strict; Path=/`
  return { user, cookie }
}

/** The user of a `Cookie` header. Undefined if there is no session, or if its signature is wrong. */
export function userOf(cookies) {
  const [, user, signature] = /(?:^|; )session=([\w-]+)\.([\w-]+)/.exec(cookies ?? '') ?? []
  if (user === undefined) return undefined
  const given = Buffer.from(signature, 'base64url')
  const right = sign(user)
  return given.length === right.length && timingSafeEqual(given, right) ? user : undefined
}
