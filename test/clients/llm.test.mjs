/** Clients of language models, against a server here. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, streamText } from 'ai'
import { isCancellation, SimpleToken } from 'calloff'
import OpenAI from 'openai'
import { checkClient, drops, failureOf, isReason } from './checks.mjs'
import { answer } from './models.mjs'
import { openOrigin } from './origin.mjs'

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
