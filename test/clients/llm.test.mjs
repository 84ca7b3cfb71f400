/** Clients of language models, against a server here. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, streamText } from 'ai'
import { isCancellation, SimpleToken } from 'calloff'
import OpenAI from 'openai'
import { checkClient, drops, failureOf, isReason } from './checks.mjs'
import { openOrigin } from './origin.mjs'

/** Both ways of speaking: one answer, or a stream that says one word and falls silent. */
function answer({ url }, response, hang, body) {
  const { stream, messages } = JSON.parse(body)
  const isHanging = JSON.stringify(messages).includes('hang')
  const speak = url.endsWith('/chat/completions') ? openai : anthropic
  if (stream) {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const { type, ...data } of speak.start) {
      response.write(`${type ? `event: ${type}\n` : ''}data: ${JSON.stringify(type ? { type, ...data } : data)}\n\n`)
    }
  }
  if (stream || isHanging) hang()
  else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(speak.whole))
}

const openai = {
  whole: {
    id: '1',
    object: 'chat.completion',
    created: 1,
    model: 'm',
    choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'ok' } }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  },
  start: [
    {
      id: '1',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'm',
      choices: [{ index: 0, delta: { role: 'assistant', content: 'word' } }],
    },
  ],
}

const message = {
  id: '1',
  role: 'assistant',
  model: 'm',
  stop_reason: null,
  usage: { input_tokens: 1, output_tokens: 1 },
}
const anthropic = {
  whole: { ...message, type: 'message', content: [{ type: 'text', text: 'ok' }] },
  start: [
    { type: 'message_start', message: { ...message, type: 'message', content: [] } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'word' } },
  ],
}

const ways = {
  openai(url) {
    const client = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 })
    const create = (content, signal, stream) =>
      client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content }], stream }, { signal })
    return {
      ask: (content, signal) => create(content, signal, false),
      stream: (signal) => create('hang', signal, true),
    }
  },
  anthropic(url) {
    const client = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
    const create = (content, signal, stream) =>
      client.messages.create({ model: 'm', max_tokens: 9, messages: [{ role: 'user', content }], stream }, { signal })
    return {
      ask: (content, signal) => create(content, signal, false),
      stream: (signal) => create('hang', signal, true),
    }
  },
  'AI SDK'(url) {
    const model = createOpenAICompatible({ name: 'here', baseURL: url }).chatModel('m')
    return {
      ask: (prompt, abortSignal) => generateText({ model, prompt, abortSignal, maxRetries: 0 }),
      stream: async (abortSignal) =>
        streamText({ model, prompt: 'hang', abortSignal, maxRetries: 0, onError: () => {} }).textStream,
    }
  },
}

for (const [name, way] of Object.entries(ways)) {
  checkClient(name, async () => {
    const { url, meetings, close } = await openOrigin(answer)
    const { ask } = way(url)
    return {
      meetings,
      listeners: 1, // fetch's
      hang: async ({ signal }) => ask('hang', signal),
      finish: async ({ signal }) => ask('ok', signal),
      throws: name === 'AI SDK' ? isReason : drops,
      close,
    }
  })

  test(`${name}: a stream that is cancelled ends as if it were complete; iterate throws the token’s error`, async () => {
    const { url, meetings, close } = await openOrigin(answer)
    try {
      for (const iterated of [false, true]) {
        const token = new SimpleToken({ name: 'chat' })
        const meeting = meetings.next()
        const stream = await way(url).stream(token.signal)
        const { left } = await meeting
        const read = async () => {
          let parts = 0
          for await (const _ of iterated ? token.iterate(stream) : stream) {
            // Anthropic's tells of its beginning first.
            if (++parts === (name === 'anthropic' ? 3 : 1)) setImmediate(() => token.cancel('enough'))
          }
          return parts
        }
        if (!iterated) assert.ok((await read()) > 0)
        else {
          const error = await failureOf(read())
          assert.equal(error, token.error)
          assert.equal(isCancellation(error, token), true)
        }
        await left
      }
    } finally {
      await close()
    }
  })
}
