// Runs examples/observe with its three visitors, and writes their traces to docs/diagrams/trace.json, from which `npm run generate`
// draws docs/diagrams/trace.svg. Run it by hand when the example has changed: times differ each time.
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import process from 'node:process'
import { build } from './build.mjs'
import { root } from './installed.mjs'

if (!build({ ifStale: true })) process.exit(1)
const { visit } = await import(`${root}/build/examples/observe/visitors.js`)

const server = spawn(process.execPath, [`${root}/build/examples/observe/main.js`], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
let output = ''
const visited = new Promise((resolve, reject) => {
  server.stdout.setEncoding('utf8').on('data', (text) => {
    if (output === '') visit(/http:\S+/.exec(text)[0], () => server.kill('SIGINT')).then(resolve, reject)
    output += text
  })
})
await Promise.all([visited, new Promise((resolve) => server.on('close', resolve))])

const spans = output
  .split('\n')
  .slice(1, -1)
  .map((line) => JSON.parse(line))
  .filter(({ trace }) => trace !== undefined)
const isScope = ({ name }) => name === 'scope page'
const traces = spans.filter(isScope).map((page) => {
  const request = spans.find(({ id }) => id === page.parent)
  const tasks = spans.filter(({ parent }) => parent === page.id).toSorted((a, b) => a.start - b.start)
  return { spans: [request, page, ...tasks].map((span, at) => rowOf(span, request, Math.min(at, 2))) }
})

/** A span as a row of the picture: times in tenths of a millisecond, from the start of the request. */
function rowOf({ name, start, duration, status, attributes, events }, request, depth) {
  const tenths = (time) => Math.round((time - request.start) * 10) / 10
  const event = events.find((one) => one.name === 'cancellation')
  return {
    name,
    depth,
    start: tenths(start),
    end: tenths(start + duration),
    // The status of a request is that of HTTP. What the picture shows is that of the work.
    status: attributes['error.type'] === 'timeout' || depth > 0 ? status : 'unset',
    ...(attributes['calloff.outcome'] !== undefined && { outcome: attributes['calloff.outcome'] }),
    ...(event && {
      event: {
        time: tenths(event.time),
        kind: event.attributes['calloff.kind'],
        by: event.attributes['calloff.cancelled_by'],
      },
    }),
  }
}

writeFileSync(`${root}/docs/diagrams/trace.json`, `${JSON.stringify(traces, null, 2)}\n`)
