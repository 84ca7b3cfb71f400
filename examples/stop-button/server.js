/**
 * A server of the chat. Each server can write an answer, and each can stop an answer that another server writes, since a run has a
 * name at the hub: `chat/<user>/<run>`.
 */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { streamText } from 'ai'
import { isCancellation } from 'calloff'
import { hubHandler, toNodeListener } from 'calloff/http'
import { connectHub } from 'calloff/remote'
import { loadAnswer, saveAnswer } from './answers.js'
import { model } from './model.js'
import { newSession, userOf } from './sessions.js'

const { HUB_URL, HUB_KEY, SERVER_NAME: server } = process.env
const page = await readFile(new URL('index.html', import.meta.url), 'utf8')
const hub = await connectHub(HUB_URL, { key: HUB_KEY })

/** The name contains the owner of the run, so it says who may read and stop it. */
const isOwner = (user, name) => name?.startsWith(`chat/${user}/`) === true

/** What the Stop button talks to. */
const stops = toNodeListener(
  hubHandler(hub, {
    basePath: '/calloff',
    authorize(request, { action, name }) {
      const user = userOf(request.headers.get('cookie'))
      if (user === undefined) return 401
      return (action === 'cancel' || action === 'read') && isOwner(user, name)
    },
  }),
)

/** Runs under the name, and passes on each part of the answer. Resolves when the run has ended and its answer is kept. */
async function run(name, prompt, onText) {
  const token = hub.open(name)
  try {
    await token.ready // from here on, a Stop that came before the run is known
    // Until this promise settles, a receipt says that the run has not finished.
    await token.finished(write(name, prompt, token, onText))
  } finally {
    token.close()
  }
}

async function write(name, prompt, token, onText) {
  const answer = { state: 'complete', text: '', server }
  try {
    token.check()
    const { fullStream } = streamText({ model, prompt, abortSignal: token.signal, onError: () => {} })
    // The stream of the SDK ends without an error when it is aborted; `iterate` throws the error of the token.
    for await (const part of token.iterate(fullStream)) {
      if (part.type === 'error') throw part.error
      if (part.type !== 'text-delta') continue
      answer.text += part.text
      onText(part.text)
    }
  } catch (error) {
    answer.state = isCancellation(error, token) ? 'stopped' : 'failed'
    if (answer.state === 'failed') console.error(error)
  }
  await saveAnswer(name, answer)
}

async function respond(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  const user = userOf(request.headers.cookie)
  const name = searchParams.get('name')
  response.setHeader('x-server', server)
  if (pathname.startsWith('/calloff/')) {
    await stops(request, response)
  } else if (pathname === '/') {
    const session = user === undefined ? newSession() : { user }
    if (session.cookie) response.setHeader('set-cookie', session.cookie)
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
    response.end(page.replace('{{user}}', session.user))
  } else if (pathname !== '/chat') {
    response.writeHead(404).end()
  } else if (user === undefined || !isOwner(user, name)) {
    response.writeHead(user === undefined ? 401 : 403).end()
  } else if (request.method === 'POST') {
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' })
    // A page that is closed or loaded again does not stop the run: only Stop does.
    await run(name, await text(request), (part) => response.destroyed || response.write(part))
    response.end()
  } else {
    const answer = await loadAnswer(name)
    response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    response.end(JSON.stringify(answer ?? {}))
  }
}

async function answer(request, response) {
  try {
    await respond(request, response)
  } catch (error) {
    console.error(error)
    response.destroy()
  }
}

const listener = createServer((request, response) => void answer(request, response))
listener.listen(0, '127.0.0.1', () => process.send(listener.address().port))
process.once('disconnect', () => process.exit()) // main.js has ended
