/** Shared tokens that are dropped, listened to and disposed of leave nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimpleToken, TimeoutToken } from 'calloff'
import { share, SharedToken } from 'calloff/threads'
import { collect, growth, isBrowser, leaves, strays, survivors, until } from './collect.js'

/** Bytes that a token may leave, of which each takes 576 in its page: the noise of the measurement. */
const FLAT = 24

/** A page cannot ask for it: there the heap, which counts the buffers, says it all. */
const resident = (): number => (isBrowser ? 0 : process.memoryUsage().rss)

test('a million that are made, posted and dropped leave memory flat', async () => {
  const make = () => SharedToken.from(structuredClone(new SharedToken({ name: 'job' }).handle)).keepOn()
  await growth(50_000, make)
  const before = resident()
  const left = await growth(1_000_000, make)
  assert.ok(left <= 1, `${left} bytes of heap each`)
  // 576 MB of slots have come and gone.
  const grown = (resident() - before) / 2 ** 20
  assert.ok(grown < 150, `${grown} MB more are resident`)
})

test('a token that is disposed of gives its place to the next one', async () => {
  await leaves(FLAT, 100_000, () => {
    using token = new SharedToken()
    return token.handle.generation
  })
})

test('a listener that was stopped, a wait that has timed out and a race that is over keep no token', async () => {
  const left = await survivors(
    200,
    () => {
      const token = new SharedToken()
      token.onCancel(() => {}).stop()
      void token.wait({ timeout: 1, step: 1 }).catch(() => {})
      void token.race(async () => 1)
      return token
    },
    () =>
      new Promise((resolve) => {
        setTimeout(resolve, 20)
      }),
  )
  assert.ok(left <= strays, `${left} were kept`)
})

test('a page without listeners is let go within two seconds or so', async () => {
  const buffers: WeakRef<object>[] = []
  const listen = () => {
    const token = new SharedToken()
    buffers.push(new WeakRef(token.handle.buffer))
    token.onCancel(() => {}).stop()
  }
  for (let i = 0; i < 70; i++) listen()
  let left = buffers.length
  const end = performance.now() + 60_000
  while (left > 1 + strays * 2 && performance.now() < end) {
    await until(() => false, 200)
    await collect(1)
    left = buffers.filter((one) => one.deref() !== undefined).length
  }
  // The page that the next token will be put on is kept, with up to seven tokens.
  assert.ok(left <= 7 + strays * 2, `${left} were kept`)
})

test('a share that was disposed of is not kept by what it was made of, nor one whose handle was never read', async () => {
  const source = new SimpleToken()
  const disposed = await survivors(400, () => {
    const shared = share(source.plus(new TimeoutToken(3_600_000)))
    assert.ok(shared.handle)
    shared[Symbol.dispose]()
    return shared
  })
  // What the first rounds leave on the stack; of 2,000 rounds that follow, Bun keeps none.
  assert.ok(disposed <= 4 * strays, `${disposed} were kept`)
  const unread = await survivors(400, () => share(source))
  assert.ok(unread <= 4 * strays, `${unread} were kept`)
  source.cancel()
})

test('a share whose handle was read is kept for as long as it may still have to tell the others', async () => {
  const source = new SimpleToken()
  const handles: SharedToken['handle'][] = []
  const kept = await survivors(20, () => {
    const shared = share(source)
    handles.push(shared.handle)
    return shared
  })
  assert.equal(kept, 20)
  source.cancel('all')
  for (const handle of handles) assert.equal(SharedToken.from(handle).reason, 'all')
})

test('a listener is kept, and called, even if the program has dropped its token', async () => {
  let told = 0
  const handles: SharedToken['handle'][] = []
  const listen = () => {
    const token = new SharedToken()
    handles.push(structuredClone(token.handle))
    token.onCancel(() => told++)
  }
  for (let i = 0; i < 20; i++) listen()
  await collect()
  for (const handle of handles) SharedToken.from(handle).cancel()
  await until(() => told === 20)
  assert.equal(told, 20)
})
