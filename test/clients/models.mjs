/** A server that answers as language models do. */

/** Both ways of speaking: one answer, or a stream that says one word and falls silent. */
export function answer({ url }, response, hang, body) {
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
