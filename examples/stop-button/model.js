/** Stands for a language model of a provider: it writes a word every 50 ms, as many as the prompt says ("a story of 500 words"). */
import { simulateReadableStream } from 'ai'
import { MockLanguageModelV3 } from 'ai/test'

const story = 'Once upon a time a button was pressed and nothing happened so it was pressed again and again and'.split(
  ' ',
)
const none = { total: undefined }

export const model = new MockLanguageModelV3({
  async doStream({ prompt }) {
    const [count = 10_000] = /\d+/.exec(JSON.stringify(prompt)) ?? []
    const words = Array.from({ length: Number(count) }, (_, at) => `${story[at % story.length]} `)
    const chunks = [
      { type: 'text-start', id: '1' },
      ...words.map((delta) => ({ type: 'text-delta', id: '1', delta })),
      { type: 'text-end', id: '1' },
      { type: 'finish', finishReason: { unified: 'stop' }, usage: { inputTokens: none, outputTokens: none } },
    ]
    return { stream: simulateReadableStream({ chunks, chunkDelayInMs: 50 }) }
  },
})
