/** Clients of HTTP. */
import assert from 'node:assert/strict'
import axios from 'axios'
import { got } from 'got'
import ky from 'ky'
import { Agent, fetch as undiciFetch, request } from 'undici'
import { checkClient, drops, isReason } from './checks.mjs'
import { openOrigin } from './origin.mjs'

/** A client that is called with an address and a signal. */
function checkHttp(name, { call, path = '/hang', ...row }) {
  checkClient(name, async () => {
    const { url, meetings, close } = await openOrigin()
    return {
      meetings,
      hang: async ({ signal }) => call(url + path, signal),
      finish: async ({ signal }) => call(`${url}/ok`, signal),
      close,
      ...row,
    }
  })
}

// It holds its listener weakly, and takes it back when the request is collected.
const listeners = 1

checkHttp('fetch', {
  listeners,
  call: async (url, signal) => (await fetch(url, { signal })).json(),
  throws: isReason,
})

checkHttp('fetch, in the body', {
  listeners,
  path: '/body',
  call: async (url, signal) => (await fetch(url, { signal })).json(),
  throws: isReason,
})

const agent = new Agent()

checkHttp('undici fetch', {
  listeners,
  call: async (url, signal) => (await undiciFetch(url, { signal, dispatcher: agent })).json(),
  throws: isReason,
})

checkHttp('undici request', {
  call: async (url, signal) => (await request(url, { signal, dispatcher: agent })).body.json(),
  throws: isReason,
})

checkHttp('undici request, in the body', {
  path: '/body',
  call: async (url, signal) => (await request(url, { signal, dispatcher: agent })).body.json(),
  throws: isReason,
})

checkHttp('got', {
  call: (url, signal) => got(url, { signal, retry: { limit: 0 } }).json(),
  throws(error, token) {
    drops(error, token)
    assert.equal(error.code, 'ERR_ABORTED')
  },
  // Its own, or the reason itself: as far as it had come.
  throwsLate: (error) => assert.equal(error.name, 'TimeoutError'),
})

checkHttp('ky', {
  call: (url, signal) => ky(url, { signal }).json(),
  throws: isReason,
})

checkHttp('axios', {
  call: (url, signal) => axios(url, { signal }),
  throws(error, token) {
    drops(error, token)
    assert.equal(error.code, 'ERR_CANCELED')
  },
})
