/** Loggers, and Sentry: what they make of cancellations, with the recipes of docs/guides/logs.md. */
import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import * as Sentry from '@sentry/node'
import { from, openScope, serializeCancellation, SimpleToken, TimeoutToken } from 'calloff'
import { pino } from 'pino'
import winston from 'winston'
import { blocksOf, checkBlock, fileOf } from './blocks.mjs'

const blocks = blocksOf('logs')

for (const [index, code] of blocks.entries()) {
  test(`block ${index + 1} of the page prints what it says`, () => checkBlock(`logs-${index + 1}`, code))
}

const circle = {}
circle.itself = circle
/** Reasons that a logger cannot write by itself. */
const reasons = {
  circle,
  big: [1n],
  broken: {
    get x() {
      throw new Error('a getter')
    },
  },
  cause: new Error('x', { cause: circle }),
}

/** Collects the lines that a stream gets. */
function lines() {
  const all = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      all.push(
        ...String(chunk)
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line)),
      )
      done()
    },
  })
  return { all, stream }
}

describe('pino', () => {
  test('takes serializeCancellation as the serializer of errors, however the error is passed', () => {
    const { all, stream } = lines()
    const logger = pino({ serializers: { err: serializeCancellation } }, stream)
    const { error } = new SimpleToken({ name: 'upload' }).cancel('stop')
    logger.info(error)
    logger.info({ err: error }, 'stopped')
    logger.child({}).info({ err: new Error('query failed', { cause: error }) })
    for (const { err } of all) {
      assert.deepEqual([err.kind, err.cancelledBy, err.reason], ['manual', 'upload', 'stop'])
      assert.equal(typeof err.stack, 'string')
    }
    assert.equal(all.length, 3)
    assert.equal(all[0].msg, error.message)
  })

  test('has of a failure what its own serializer has', () => {
    const { all, stream } = lines()
    const error = Object.assign(new RangeError('disk full'), { code: 'ENOSPC', statusCode: 507 })
    pino({ serializers: { err: serializeCancellation } }, stream).error({ err: error })
    pino({}, stream).error({ err: error })
    const { name, ...err } = all[0].err
    assert.equal(name, 'RangeError')
    assert.deepEqual(err, all[1].err)
  })

  test('writes every reason', () => {
    const { all, stream } = lines()
    const logger = pino({ serializers: { err: serializeCancellation } }, stream)
    for (const reason of Object.values(reasons)) logger.info({ err: new SimpleToken().cancel(reason).error })
    assert.equal(all.length, Object.keys(reasons).length)
    for (const { err } of all) assert.equal(err.kind, 'manual')
  })
})

describe('winston', () => {
  test('writes an error without a format, by its toJSON', async () => {
    const { all, stream } = lines()
    const logger = winston.createLogger({
      format: winston.format.json(),
      transports: [new winston.transports.Stream({ stream })],
    })
    for (const reason of Object.values(reasons))
      logger.info('x', { err: new SimpleToken({ name: 'a' }).cancel(reason).error })
    const done = new Promise((resolve) => logger.on('finish', resolve))
    logger.end()
    await done
    assert.equal(all.length, Object.keys(reasons).length)
    for (const { err } of all) assert.deepEqual([err.kind, err.cancelledBy, err.name], ['manual', 'a', 'AbortError'])
  })
})

describe('Sentry with the beforeSend of the page', () => {
  const sent = []
  before(async () => {
    const { options } = await import(fileOf('sentry', blocks.at(-1)))
    await Sentry.close()
    Sentry.init({
      ...options,
      dsn: 'https://key@sentry.test/1',
      defaultIntegrations: false,
      transport: () =>
        Sentry.createTransport({ recordDroppedEvent() {} }, ({ body }) => {
          // An envelope has the header, and for each item a header and the item. A dropped event is counted in one, too.
          const [, item, content] = String(body).split('\n')
          if (JSON.parse(item).type === 'event') sent.push(JSON.parse(content))
          return Promise.resolve({})
        }),
    })
  })
  after(() => Sentry.close())

  /** The events that Sentry sends for an error. */
  async function eventsOf(error) {
    sent.length = 0
    Sentry.captureException(error)
    assert.equal(await Sentry.flush(10_000), true)
    return sent.map(({ exception, tags, contexts }) => ({
      message: exception.values.at(-1).value,
      kind: tags?.['calloff.kind'],
      by: contexts?.cancellation?.cancelledBy,
    }))
  }
  const cancelled = (reason) => new SimpleToken({ name: 'upload' }).cancel(reason).error
  const late = () => new TimeoutToken(0, { name: 'query' }).error

  const dropped = {
    'a cancel by hand': () => cancelled('stop'),
    'an error that wraps one': () => new Error('query failed', { cause: cancelled('stop') }),
    'a signal': () => from(AbortSignal.abort()).error,
    'the AbortError of the platform': () => AbortSignal.abort().reason,
    'a disposed token': () => {
      const token = new SimpleToken()
      token[Symbol.dispose]()
      return token.error
    },
    'only cancellations': () => new AggregateError([cancelled('a'), cancelled('b')]),
    'the cancellation of a sibling': async () => {
      const works = openScope()
      await assert.rejects(works.run(() => Promise.reject(new Error('disk full'))))
      await assert.rejects(works.close(), /disk full/)
      return works.token.error
    },
  }
  for (const [what, make] of Object.entries(dropped)) {
    test(`drops ${what}`, async () => assert.deepEqual(await eventsOf(await make()), []))
  }

  const kept = {
    'a failure': [() => new Error('disk full'), { message: 'disk full', kind: undefined, by: undefined }],
    'a deadline': [late, { message: 'token "query" ran out of time after 0 ms', kind: 'timeout', by: 'query' }],
    'an error that wraps a deadline': [
      () => new Error('query failed', { cause: late() }),
      { message: 'query failed', kind: 'timeout', by: 'query' },
    ],
    'the TimeoutError of the platform': [
      () => new DOMException('too late', 'TimeoutError'),
      { message: 'too late', kind: 'timeout', by: undefined },
    ],
    'a failure among cancellations': [
      () => new AggregateError([cancelled('a'), new Error('disk full')], 'both'),
      { message: 'both', kind: undefined, by: undefined },
    ],
    'a text': [() => 'disk full', { message: 'disk full', kind: undefined, by: undefined }],
    nothing: [() => undefined, { message: 'undefined', kind: undefined, by: undefined }],
  }
  for (const [what, [make, expected]] of Object.entries(kept)) {
    test(`keeps ${what}`, async () => assert.deepEqual(await eventsOf(make()), [expected]))
  }
})
