/** What the other thread may call. Comlink passes the handle of the token on as it is, among the arguments. */
import { parentPort } from 'node:worker_threads'
import { SharedToken, type SharedHandle } from 'calloff/threads'
import { expose } from 'comlink'
import { type Count, countPrimes } from '../primes/count.js'
import { nodeEndpoint } from './endpoint.js'

const api = {
  count: (below: number, token: SharedHandle): Count => countPrimes(below, SharedToken.from(token)),
}

export type Api = typeof api

if (parentPort) expose(api, nodeEndpoint(parentPort))
