/** What the ambient token promises, case by case: the tests run them on Node, and a child program on Bun and Deno. */
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter, once } from 'node:events'
import { Readable, Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CancellationToken, isCancellation, NEVER, openScope, scope, SimpleToken } from 'calloff'
import { currentToken, withToken } from 'calloff/node'

const name = () => currentToken().name ?? 'none'
const named = (text: string) => new SimpleToken({ name: text })

/** What a promise comes to under a limit of one, so that the second work has to wait. */
const inTurn = { concurrency: 1, ambient: true } as const

export const cases: Readonly<Record<string, () => unknown>> = {
  'outside it is NEVER'() {
    assert.equal(currentToken(), NEVER)
    assert.equal(
      withToken(undefined, () => currentToken().cancelled),
      false,
    )
  },

  'within it is the token that was given, or the one that stands for it'() {
    const token = named('it')
    assert.equal(
      withToken(token, () => currentToken()),
      token,
    )
    const controller = new AbortController()
    withToken(controller.signal, () => {
      controller.abort('left')
      assert.equal(currentToken().reason, 'left')
    })
    assert.equal(currentToken(), NEVER)
  },

  'within it is a token that derives from a view, where a view was given'() {
    const token = named('it')
    const current = withToken(token.view, () => currentToken())
    current.cancel()
    assert.equal(token.cancelled, false)
    const other = withToken(token.view, () => currentToken())
    token.cancel()
    assert.equal(other.error, token.error)
  },

  'the innermost one counts, and it is put back, after an error too'() {
    withToken(named('outer'), () => {
      assert.throws(() =>
        withToken(named('inner'), () => {
          assert.equal(name(), 'inner')
          throw new Error('x')
        }),
      )
      assert.equal(name(), 'outer')
      assert.equal(withToken(null, name), 'none')
    })
  },

  async 'it goes along with timers'() {
    const seen: string[] = []
    await withToken(
      named('it'),
      () =>
        new Promise<void>((resolve) => {
          const see = () => {
            if (seen.push(name()) === 5) resolve()
          }
          queueMicrotask(see)
          process.nextTick(see)
          setImmediate(see)
          const timer = setInterval(() => {
            clearInterval(timer)
            see()
          }, 1)
          setTimeout(see, 1)
        }),
    )
    assert.deepEqual(
      seen,
      Array.from({ length: 5 }, () => 'it'),
    )
  },

  async 'it goes along with promises and async functions, in parallel'() {
    const one = async () => {
      await sleep(2)
      const before = name()
      await Promise.resolve().then(async () => sleep(1))
      return [before, name()]
    }
    const all = await Promise.all(['a', 'b'].map((text) => withToken(named(text), one)))
    assert.deepEqual(all, [
      ['a', 'a'],
      ['b', 'b'],
    ])
    assert.equal(name(), 'none')
  },

  async 'it goes along with async generators'() {
    async function* items() {
      yield name()
      await sleep(1)
      yield name()
    }
    const seen = await withToken(named('it'), async () => {
      const all: string[] = []
      for await (const item of items()) all.push(item)
      return all
    })
    assert.deepEqual(seen, ['it', 'it'])
  },

  async 'it goes along with streams'() {
    const seen = new Set<string>()
    const note = <T>(value: T) => {
      seen.add(name())
      return value
    }
    await withToken(named('it'), async () => {
      async function* chunks() {
        for (let i = 0; i < 3; i++) {
          await sleep(1)
          yield note(`chunk ${i}`)
        }
      }
      await pipeline(
        Readable.from(chunks()),
        new Transform({ objectMode: true, transform: (chunk, _encoding, done) => done(null, note(chunk)) }),
        new Writable({ objectMode: true, write: (_chunk, _encoding, done) => setTimeout(() => done(note(null)), 1) }),
      )
    })
    assert.deepEqual([...seen], ['it'])
  },

  async 'an event emitter calls in the context of whoever emits; who awaits the event stays in his own'() {
    const emitter = new EventEmitter()
    const seen: string[] = []
    withToken(named('listener'), () => emitter.on('event', () => seen.push(name())))
    const awaited = withToken(named('waiter'), async () => {
      await once(emitter, 'event')
      return name()
    })
    withToken(named('emitter'), () => emitter.emit('event'))
    assert.deepEqual([seen, await awaited], [['emitter'], 'waiter'])
  },

  async 'a listener of a token is called in the context it was registered in'() {
    const token = new SimpleToken()
    const seen: string[] = []
    withToken(named('listener'), () => token.onCancel(() => seen.push(name())))
    withToken(named('canceller'), () => token.cancel())
    assert.deepEqual(seen, ['listener'])
  },

  async 'a scope that is asked to hangs below the current token'() {
    const request = named('request')
    const whole = withToken(request, () => scope((s) => s.run((token) => token.sleep(60_000)), { ambient: true }))
    request.cancel('left')
    await assert.rejects(whole, (error) => error === request.error)
    const alone = withToken(named('x').cancel(), () => scope(() => 'not asked to'))
    assert.equal(await alone, 'not asked to')
    assert.equal(await scope(name, { ambient: true }), 'none')
  },

  async 'a token that is given wins, unless it never ends'() {
    const [current, given] = [named('current'), named('given')]
    await withToken(current, async () => {
      await scope(
        given,
        (s) => {
          current.cancel('no matter')
          assert.equal(s.token.cancelled, false)
          assert.equal(currentToken(), s.token)
        },
        { ambient: true },
      )
      for (const none of [undefined, null, NEVER]) {
        await assert.rejects(
          scope(none, () => 1, { ambient: true }),
          (error) => error === current.error,
        )
      }
    })
  },

  async 'the body and the tasks have their own tokens as the current ones'() {
    await scope(
      async (s) => {
        assert.equal(currentToken(), s.token)
        const own = async (token: CancellationToken) => {
          await sleep(1)
          return currentToken() === token
        }
        assert.deepEqual(await Promise.all([s.run(own), s.run(own)]), [true, true])
        assert.deepEqual(await s.map([1, 2], (_item, token) => own(token)), [true, true])
        assert.equal(await s.any([own]), true)
        assert.equal(await s.race([own], { hedge: 1 }), true)
        assert.deepEqual(await s.allSettled([own]), [{ status: 'fulfilled', value: true }])
        assert.equal(currentToken(), s.token)
      },
      { ambient: true },
    )
  },

  async 'an open scope gives them to its works'() {
    await using s = withToken(named('request'), () => openScope(undefined, { ambient: true }))
    assert.equal(await s.run((token) => currentToken() === token), true)
    assert.equal(name(), 'none')
  },

  async 'a work that had to wait runs in the context it was handed over in'() {
    const user = new AsyncLocalStorage<string>()
    const seen = await scope(async (s) => {
      const first = user.run('first', () => s.run(async () => sleep(1).then(() => user.getStore())))
      const second = user.run('second', () => s.run(async (token) => [user.getStore(), currentToken() === token]))
      return Promise.all([first, second])
    }, inTurn)
    assert.deepEqual(seen, ['first', ['second', true]])
  },

  async 'a hedged work that comes late runs in the context it was handed over in'() {
    const user = new AsyncLocalStorage<string>()
    const seen = await scope((s) =>
      user.run('mine', () =>
        s.any([(token) => token.sleep(60_000).then(() => undefined), () => user.getStore()], { hedge: 2 }),
      ),
    )
    assert.equal(seen, 'mine')
  },

  async 'a report of a scope that is stuck is told in the context the scope was begun in'() {
    const user = new AsyncLocalStorage<string>()
    const token = new SimpleToken()
    const told = await new Promise((resolve) => {
      const deaf = () => sleep(20)
      void user
        .run('mine', () => scope(token, (s) => s.run(deaf), { stuckAfter: 1, onStuck: () => resolve(user.getStore()) }))
        .catch(() => {})
      user.run('canceller', () => token.cancel())
    })
    assert.equal(told, 'mine')
  },

  async 'a race gives the tasks their tokens as the current ones'() {
    const own = async (token: CancellationToken) => {
      await sleep(1)
      return currentToken() === token
    }
    assert.equal(await named('it').race(own, { ambient: true }), true)
    assert.equal(await named('it').race(own), false)
  },

  async 'a race on a token that never ends hangs below the current one, if asked to'() {
    const request = named('request')
    const work = (token: CancellationToken) => token.sleep(60_000)
    const lost = withToken(request, () => NEVER.race(work, { ambient: true }))
    const own = withToken(request, () => named('own').race(() => 'own', { ambient: true }))
    request.cancel()
    await assert.rejects(lost, (error) => isCancellation(error, request))
    assert.equal(await own, 'own')
    assert.equal(await NEVER.race(() => 'none', { ambient: true }), 'none')
  },
}
