// Whole programs, from their start to their end: what the command line costs beside a Node that does nothing.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../node_modules/calloff/dist/bin/calloff.js', import.meta.url))
const only = ['start-up']
const isNode = typeof Deno === 'undefined' && process.versions.bun === undefined && existsSync(bin)

/** @type {import('./index.mjs').Peer[]} */
export const peers = isNode
  ? [
      { name: 'floor: node -e 0', only, starts: ['-e', '0'] },
      { name: 'calloff --help', only, starts: [bin, '--help'] },
      { name: 'calloff run -- true', only, starts: [bin, 'run', '--', 'true'] },
    ]
  : []
