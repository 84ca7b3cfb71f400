/** A real server for `hubHandler`, and a client that checks each answer against the OpenAPI file. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { type FetchHandler, toNodeListener } from 'calloff/http'

interface Response_ {
  readonly content?: Readonly<Record<string, { readonly schema: object }>>
  readonly headers?: object
}
interface Operation {
  readonly operationId: string
  readonly parameters: readonly { readonly name: string }[]
  readonly responses: Readonly<Record<string, Response_>>
}
type Methods = Readonly<Record<'get' | 'post', Operation | undefined>>

const file = fileURLToPath(new URL('../../../docs/reference/openapi.json', import.meta.url))

export const openapi = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly paths: Readonly<Record<string, Methods>>
  readonly components: { readonly schemas: { readonly EventData: { readonly properties: object } } }
}

const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } }).addSchema({ ...openapi, $id: 'api' })
const compiled = new Map<string, ValidateFunction>()

/** Checks a value against a part of the OpenAPI file. */
function check(pointer: string, value: unknown): void {
  const validate = compiled.get(pointer) ?? ajv.compile({ $ref: `api#${pointer}` })
  compiled.set(pointer, validate)
  assert.ok(validate(value), `${pointer}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(value)}`)
}

const escaped = (key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1')

/** Which answers the tests have seen, as `operationId status`. */
export const seen = new Set<string>()

/** Reads an answer, and checks it against the file. Returns its JSON; undefined if it has none. */
export async function answerOf(method: 'GET' | 'POST', path: string, response: Response): Promise<unknown> {
  const key = method.toLowerCase() as 'get' | 'post'
  const operation = openapi.paths[path]?.[key]
  assert.ok(operation, `${method} ${path} is in the OpenAPI file`)
  const described = operation.responses[response.status]
  assert.ok(described, `${operation.operationId} may answer ${response.status}`)
  seen.add(`${operation.operationId} ${response.status}`)
  for (const name of Object.keys(described.headers ?? {})) assert.ok(response.headers.get(name), `it has ${name}`)
  const [type] = Object.keys(described.content ?? {})
  assert.equal(response.headers.get('content-type')?.split(';')[0], type, `${operation.operationId} ${response.status}`)
  if (type === 'text/event-stream') return undefined
  const text = await response.text()
  if (type === undefined) assert.equal(text, '')
  if (type === undefined) return undefined
  const value: unknown = JSON.parse(text)
  check(`/paths/${escaped(path)}/${key}/responses/${response.status}/content/${escaped(type)}/schema`, value)
  return value
}

/** An event of a stream. */
export interface StreamEvent {
  readonly id: string | undefined
  readonly event: string
  readonly data: Record<string, unknown>
}

/** Reads server-sent events, and checks their data against the file. Ends with the stream. */
export async function* eventsOf(response: Response): AsyncGenerator<StreamEvent, undefined> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n')
      text = text.slice(end + 2)
      const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
      const [event, data] = [field('event'), field('data')]
      if (event === undefined) continue // a comment
      const value = JSON.parse(data ?? '') as Record<string, unknown>
      check(`/components/schemas/EventData/properties/${event}`, value)
      yield { id: field('id'), event, data: value }
    }
  }
  return undefined
}

export const TOKEN = 'a token for tests'
export const authorization = { authorization: `Bearer ${TOKEN}` }

/** Serves a handler by `node:http`. Its dispose ends the server and all connections. */
export async function serve(
  handler: FetchHandler,
): Promise<AsyncDisposable & { readonly url: string; readonly server: Server }> {
  const server = createServer((request, response) => void toNodeListener(handler)(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  return {
    server,
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** What a test has opened, closed in the reverse order. Node 20 has no `AsyncDisposableStack`. */
export class Opened implements AsyncDisposable {
  readonly #ends: (() => unknown)[] = []

  use<T extends AsyncDisposable>(what: T): T {
    this.#ends.push(() => what[Symbol.asyncDispose]())
    return what
  }

  defer(end: () => unknown): void {
    this.#ends.push(end)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends.toReversed()) await end()
  }
}
