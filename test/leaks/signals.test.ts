/** Signals that are made and dropped leave nothing behind on the sources of their token. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimpleToken, TimeoutToken } from 'calloff'
import {
  cancelOthers,
  FLAT,
  FLAT_SIGNAL,
  growth,
  isBrowser,
  isBun,
  isDeno,
  leaves,
  node,
  strays,
  survivors,
  until,
} from './collect.js'
import { delay, nothing } from './lost.js'

const uses: Readonly<Record<string, (signal: AbortSignal) => unknown>> = {
  'that is dropped': (signal) => signal.aborted,
  'whose listener is removed': (signal) => {
    signal.addEventListener('abort', nothing)
    signal.removeEventListener('abort', nothing)
  },
  'whose onabort is taken back': (signal) => {
    signal.onabort = nothing
    signal.onabort = null
  },
  'that a composite was made of': (signal) => AbortSignal.any([signal]).aborted,
  'that a composite of a composite was made of': (signal) => AbortSignal.any([AbortSignal.any([signal])]).aborted,
  'that a timer is done with': (signal) => delay(0, signal),
}

for (const [what, use] of Object.entries(uses)) {
  const skip = isDeno && what.includes('onabort') && 'Deno keeps its own composites likewise, once onabort was set'
  test(`the signal of a derived token ${what} leaves nothing on its sources`, { skip }, async () => {
    const parent = new SimpleToken()
    await leaves(FLAT_SIGNAL, 20_000, () => use(parent.plus(new SimpleToken()).signal))
  })
}

test('one signal that is used over and over keeps nothing of its users', async () => {
  const { signal } = new SimpleToken(new SimpleToken())
  // Not onabort, which throws on Node 20 and 22 once a signal has had a listener removed: their own bug.
  const often = Object.keys(uses).filter((what) => !what.includes('onabort'))
  await leaves(FLAT_SIGNAL, 20_000, (i) => uses[often[i % often.length] as string]?.(signal))
})

test('signals of tokens that are cancelled leave nothing on their source', async () => {
  const parent = new SimpleToken()
  await leaves(FLAT_SIGNAL, 20_000, () => {
    const token = new SimpleToken(parent)
    // Node 20 and 22 keep a composite for ever whose listener stays on after the abort.
    token.signal.addEventListener('abort', nothing, { once: true })
    token.cancel()
  })
})

test('signals of tokens that are born cancelled leave nothing', async () => {
  const parent = new SimpleToken().cancel()
  await leaves(FLAT, 10_000, () => new SimpleToken(parent).signal.aborted)
})

test('a signal that is kept keeps neither its token nor the tokens above', async () => {
  const kept: AbortSignal[] = []
  const own = await survivors(100, () => {
    const token = new SimpleToken(new SimpleToken())
    kept.push(token.signal)
    return token
  })
  assert.ok(own <= strays, `${own} tokens were kept`)
  const above = await survivors(100, () => {
    const source = new SimpleToken()
    kept.push(new SimpleToken(source).signal)
    return source
  })
  assert.ok(above <= strays, `${above} sources were kept`)
})

test('signals whose listener is left on are freed when their source is cancelled, though it lives on', async () => {
  const source = new SimpleToken()
  let heard = 0
  const make = (): AbortSignal => {
    const { signal } = new SimpleToken(source)
    // Node 20 and 22 keep it for ever without `once`.
    signal.addEventListener('abort', () => heard++, { once: true })
    return signal
  }
  const left = await survivors(100, make, () => {
    source.cancel()
    cancelOthers()
  })
  assert.equal(heard, 100)
  assert.ok(left <= strays, `${left} were kept`)
  assert.equal(source.signal.aborted, true)
})

test('a signal whose listener is left on is freed with its tokens when all of them are dropped', async () => {
  await leaves(FLAT, 5_000, () => {
    new SimpleToken(new SimpleToken()).signal.addEventListener('abort', nothing)
  })
})

// A listener that knows the token whose signal it listens to. Node keeps such composites of its own (nodejs/node#57584).
const circles: Readonly<Record<string, (token: SimpleToken) => void>> = {
  'a listener': (token) => token.signal.addEventListener('abort', () => token.check()),
  'a listener for once': (token) => token.signal.addEventListener('abort', () => token.check(), { once: true }),
  onabort: (token) => {
    token.signal.onabort = () => token.check()
  },
  'several listeners, of which one was removed': (token) => {
    const listener = () => token.check()
    token.signal.addEventListener('abort', listener)
    token.signal.addEventListener('abort', () => token.check())
    token.signal.removeEventListener('abort', listener)
  },
}

/** Where the platform keeps a composite with a listener for as long as its sources, which the listener keeps. */
const keepsCircles = isBun || isBrowser

test('a circle of the platform’s own composites is kept on all but Deno: so much of ours is none of our doing', async () => {
  const left = await survivors(40, () => {
    const controller = new AbortController()
    AbortSignal.any([controller.signal]).addEventListener('abort', () => controller.abort())
    return controller
  })
  assert.equal(left > strays, !isDeno, `${left} were kept`)
})

for (const [what, close] of Object.entries(circles)) {
  test(
    `a circle of a token, its signal and ${what} is freed`,
    { skip: keepsCircles && 'the platform keeps its own composites likewise' },
    async () => {
      const sorts = [
        () => new SimpleToken(),
        () => new SimpleToken(new SimpleToken()),
        () => new SimpleToken(new SimpleToken(new SimpleToken()), new SimpleToken()),
        () => new SimpleToken(new TimeoutToken(Infinity)),
      ]
      const left = await survivors(80, (i) => {
        const token = sorts[i % sorts.length]?.() as SimpleToken
        close(token)
        return token
      })
      assert.ok(left <= 4 * strays, `${left} were kept`)
    },
  )
}

test(
  'a token that was cancelled below one that lives on is freed, though a listener is left on its signal',
  { skip: isBun && 'Bun keeps some of its own composites likewise' },
  async () => {
    const root = new SimpleToken()
    const left = await survivors(
      100,
      () => {
        const token = new SimpleToken(new SimpleToken(root))
        token.signal.addEventListener('abort', () => token.cancelled)
        return token.cancel()
      },
      cancelOthers,
    )
    assert.ok(left <= strays, `${left} were kept`)
    assert.equal(root.signal.aborted, false)
  },
)

/** The next composite is made in the very job in which the one before was aborted. */
function* relays(root: AbortSignal, further: boolean): Generator<AbortSignal, never> {
  let last = new AbortController()
  for (;;) {
    last.abort()
    last = new AbortController()
    const composite = AbortSignal.any([root, last.signal])
    const end = further ? AbortSignal.any([AbortSignal.any([composite, new AbortController().signal])]) : composite
    end.addEventListener('abort', nothing, { once: true })
    yield end
  }
}

for (const further of [false, true]) {
  test(`composites ${further ? 'of composites ' : ''}that follow each other within a job do not keep each other`, async () => {
    for (const root of [new SimpleToken(), new SimpleToken(new SimpleToken())]) {
      const relay = relays(root.signal, further)
      const left = await survivors(100, () => relay.next().value)
      assert.ok(left <= (further ? 3 : 1) + strays, `${left} were kept`)
      await leaves(node[0] === 22 ? 700 : FLAT_SIGNAL * 2, 3_000, async () => {
        await Promise.resolve()
        relay.next()
      })
    }
  })
}

test('a deadline with a signal is kept by nothing but its timer, and freed when that has rung', async () => {
  let rung = 0
  const make = (): object => {
    const token = new TimeoutToken(1)
    const { signal } = token
    if (signal.aborted) rung++ // on a slow machine
    else signal.addEventListener('abort', () => rung++)
    return token
  }
  const left = await survivors(100, make, async () => {
    await until(() => rung === 100)
    cancelOthers()
  })
  assert.equal(rung, 100)
  assert.ok(left <= strays, `${left} were kept`)
})

test('a deadline that is abandoned with its signal is kept until its time, or until its source ends', async () => {
  // A composite of the signal may still be listened to, and nothing tells: the timer alone can hold what it will abort.
  const source = new SimpleToken()
  const make = (): TimeoutToken => {
    const token = new TimeoutToken(600_000, source)
    assert.equal(token.signal.aborted, false)
    return token
  }
  const bytes = await growth(5_000, make)
  assert.ok(bytes < 4_096, `each left ${bytes} bytes`)
  const left = await survivors(100, make, () => {
    source.cancel()
    cancelOthers()
  })
  assert.ok(left <= strays, `${left} were kept`)
})
