/** Comlink's adapter for workers of Node. Its declarations speak of a default export, but what it exports is the function. */
import adapter from 'comlink/dist/umd/node-adapter.js'

export const nodeEndpoint = adapter as unknown as (typeof adapter)['default']
