/** What lives for a short while leaves nothing behind on what lives long. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import {
  allOf,
  anyOf,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  isCancellation,
  type Registration,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { collect, FLAT, FLAT_SIGNAL, forgets, growth, isDeno, node, strays, survivors, until } from './collect.js'

const MILLION = 1_000_000
const nothing = (): void => {}

/** Where the last aborted controllers are kept, other ones take their place. */
function cancelOthers(): void {
  for (let i = 0; i < 1_024; i++) {
    const token = new SimpleToken()
    token.onCancel(() => token.signal)
    assert.equal(token.signal.aborted, false)
    token.cancel()
  }
}

async function leaves(
  most: number,
  count: number,
  operation: (index: number) => unknown,
  batch?: number,
): Promise<void> {
  // A leak leaves its bytes every time; what the compiler or the collector keeps for itself it keeps once.
  let least = Infinity
  for (let attempt = 0; attempt < 3 && !(least < most); attempt++) {
    least = Math.min(least, await growth(count, operation, batch))
  }
  assert.ok(least < most, `each left ${least.toFixed(1)} bytes, at most ${most} are allowed`)
}

test('the measurement notices 32 bytes, and a signal, that each operation leaves', async () => {
  const kept: unknown[] = []
  const numbers = await growth(10_000, (i) => kept.push({ i, text: [i] }))
  assert.ok(numbers > 32, `${numbers}`)
  const source = new AbortController()
  const signals = await growth(10_000, () => kept.push(AbortSignal.any([source.signal])))
  assert.ok(signals > 30, `${signals}`) // Bun counts little of what is native
  assert.equal(kept.length, 30_000)
})

test('the count of survivors notices what is kept', async () => {
  const kept: object[] = []
  assert.ok((await survivors(40, () => ({}))) <= strays)
  assert.equal(
    await survivors(40, () => {
      const one = {}
      kept.push(one)
      return one
    }),
    40,
  )
})

// ---- Tokens ---------------------------------------------------------------------------------------------------------

const derivations: Readonly<
  Record<string, (parent: CancellationToken, other: CancellationToken) => CancellationToken>
> = {
  'derived from one': (parent) => new SimpleToken(parent),
  summed: (parent, other) => parent.plus(other),
  'with a deadline that is abandoned': (parent) => new TimeoutToken(60_000, parent),
  'with a condition': (parent) => new ConditionToken(() => false, parent),
  'with a counter': (parent) => new CounterToken(3, parent),
  'for all of them': (parent, other) => allOf(parent, other),
  'with a grace': (parent) => parent.grace(1_000),
}

test('a million tokens that are derived and dropped leave nothing', async () => {
  const parent = new SimpleToken()
  await leaves(1, MILLION, () => new SimpleToken(parent), 20_000)
})

for (const [how, derive] of Object.entries(derivations)) {
  test(`tokens ${how} leave nothing, polled, looked at and dropped`, async () => {
    const parent = new SimpleToken()
    const other = new SimpleToken()
    await leaves(FLAT, 20_000, () => {
      const token = derive(parent, other)
      return token.cancelled ? 1 : token.remaining
    })
  })

  test(`tokens ${how} leave nothing once their listener is taken back`, async () => {
    const parent = new SimpleToken()
    const other = new SimpleToken()
    await leaves(FLAT, 20_000, () => derive(parent, other).onCancel(nothing).stop())
  })

  test(`tokens ${how} leave nothing once they are cancelled, with a listener left on`, async () => {
    const parent = new SimpleToken()
    const other = new SimpleToken()
    await leaves(FLAT, 20_000, () => {
      const token = derive(parent, other)
      token.onCancel(nothing)
      token.cancel()
    })
  })
}

test('a million listeners that are added and taken back leave nothing', async () => {
  const token = new SimpleToken()
  await leaves(1, MILLION, () => token.onCancel(nothing).stop(), 20_000)
})

test('a disposed listener is as good as a stopped one', async () => {
  const token = new SimpleToken()
  await leaves(FLAT, 20_000, () => token.onCancel(() => token)[Symbol.dispose]())
})

test('a stopped registration that is kept keeps neither its neighbours nor the token', async () => {
  const token = new SimpleToken()
  const kept: Registration[] = []
  const left = await survivors(100, () => {
    // A listener each before, between and after: the kept one has stood beside all of them.
    const first = () => token
    const last = () => token
    const one = token.onCancel(first)
    const middle = token.onCancel(nothing)
    const other = token.onCancel(last)
    middle.stop()
    one.stop()
    other.stop()
    kept.push(middle)
    return kept.length % 2 === 0 ? first : last
  })
  assert.ok(left <= strays, `${left} listeners were kept`)
  const tokens = await survivors(100, () => {
    const short = new SimpleToken(token)
    const registration = short.onCancel(nothing)
    registration.stop()
    kept.push(registration)
    return short
  })
  assert.ok(tokens <= strays, `${tokens} tokens were kept`)
  assert.equal(kept.length, 200)
})

test('a registration that has been called keeps neither its neighbours nor the token', async () => {
  const kept: Registration[] = []
  const left = await survivors(100, () => {
    const token = new SimpleToken()
    token.onCancel(nothing)
    kept.push(token.onCancel(nothing))
    token.onCancel(nothing)
    return token.cancel()
  })
  assert.ok(left <= strays, `${left} tokens were kept`)
})

test('a listener does not keep a token whose sources are all gone', async () => {
  const left = await survivors(100, () => {
    const token = new SimpleToken(new SimpleToken())
    token.onCancel(() => token.check())
    return token
  })
  assert.ok(left <= strays, `${left} were kept`)
})

test('a disposed token that is kept holds neither its sources nor its listeners', async () => {
  const kept: CancellationToken[] = []
  const sources = await survivors(100, () => {
    const source = new SimpleToken()
    const token = new SimpleToken(source)
    token.onCancel(nothing)
    token[Symbol.dispose]()
    kept.push(token)
    return source
  })
  assert.ok(sources <= strays, `${sources} sources were kept`)
  const listeners = await survivors(100, () => {
    const listener = (): string => 'bye'
    const token = new SimpleToken()
    token.onCancel(listener)
    token[Symbol.dispose]()
    kept.push(token)
    return listener
  })
  assert.ok(listeners <= strays, `${listeners} listeners were kept`)
})

test('a disposed deadline with a listener or a signal is freed long before its time', async () => {
  const left = await survivors(
    100,
    (i) => {
      const token = new TimeoutToken(600_000)
      if (i % 2 === 0) token.onCancel(nothing)
      else token.signal.addEventListener('abort', nothing)
      token[Symbol.dispose]()
      return token
    },
    cancelOthers,
  )
  assert.ok(left <= strays, `${left} were kept`)
})

// ---- What waits on a token that lives long --------------------------------------------------------------------------

const refused = (error: unknown): void => assert.ok(isCancellation(error), String(error))

const waits: Readonly<Record<string, (parent: CancellationToken) => Promise<unknown>>> = {
  'a race that a promise wins': (parent) => parent.race(Promise.resolve(1)),
  'a race that a function wins': (parent) =>
    parent.race<unknown>([async () => 1, (token) => token.sleep(60_000)], { timeout: 60_000 }),
  'a race that runs out of time': (parent) =>
    parent.race((token) => token.sleep(60_000), { timeout: 0 }).catch(refused),
  'a race that is called off': (parent) => {
    const token = new SimpleToken(parent)
    const race = token.race((own) => own.wait()).catch(refused)
    token.cancel()
    return race
  },
  'a sleep': (parent) => parent.sleep(0),
  'a sleep that is called off': (parent) => {
    const token = new SimpleToken(parent)
    const sleep = token.sleep(60_000).catch(refused)
    token.cancel()
    return sleep
  },
  'a wait that runs out of time': (parent) => parent.wait({ timeout: 0 }).catch(refused),
  'a wait that ends': (parent) => {
    const token = new SimpleToken(parent)
    const wait = token.wait({ timeout: 60_000 })
    token.cancel()
    return wait
  },
  'a wait for a condition': (parent) => {
    const token = new ConditionToken(() => true, parent)
    return token.wait()
  },
  'a checkpoint': (parent) => parent.checkpoint(),
  'a tick of every()': async (parent) => {
    for await (const tick of parent.every(0)) return tick
    return undefined
  },
  'every() that is closed while it waits': async (parent) => {
    const ticks = parent.every(60_000)[Symbol.asyncIterator]()
    const tick = ticks.next()
    await ticks.return?.()
    return tick
  },
  'iterate() to the end': async (parent) => {
    let sum = 0
    for await (const item of parent.iterate([1, 2, 3])) sum += item
    return sum
  },
  'iterate() that is left early': async (parent) => {
    for await (const item of parent.iterate([1, 2, 3])) return item
    return undefined
  },
  'iterate() whose source fails': async (parent) => {
    const source = {
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('the source broke')) }),
    }
    try {
      for await (const item of parent.iterate<unknown>(source)) assert.fail(String(item))
    } catch (error) {
      assert.match(String(error), /the source broke/)
    }
  },
  'for await over it, with a break': async (parent) => {
    for await (const turns of parent) if (turns > 0) break
  },
}

for (const [what, begin] of Object.entries(waits)) {
  test(`${what} leaves nothing on a token that lives long`, async () => {
    const parent = new SimpleToken(new SimpleToken())
    await leaves(FLAT, 10_000, () => begin(parent))
  })
}

// ---- Signals --------------------------------------------------------------------------------------------------------

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
  'that a delay is done with': (signal) => delay(0, undefined, { signal }),
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
  await leaves(FLAT, 20_000, () => new SimpleToken(parent).signal.aborted)
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

test(
  'a signal whose listener is left on is freed with its tokens when all of them are dropped',
  {
    skip:
      (node[0] === 20 && 'Node 20 keeps its own composites likewise') ||
      (forgets && 'composites hold their controllers here, lest an abort be lost: nodejs/node#65995'),
  },
  async () => {
    await leaves(FLAT, 5_000, () => {
      new SimpleToken(new SimpleToken()).signal.addEventListener('abort', nothing)
    })
  },
)

test('a deadline with a signal is kept by nothing but its timer, and freed when that has rung', async () => {
  let rung = 0
  const make = (): object => {
    const token = new TimeoutToken(1)
    token.signal.addEventListener('abort', () => rung++)
    return token
  }
  const left = await survivors(100, make, async () => {
    await until(() => rung === 100)
    cancelOthers()
  })
  assert.equal(rung, 100)
  assert.ok(left <= strays, `${left} were kept`)
})

test('the tokens of one parent are summed without anything left on another', async () => {
  const one = new SimpleToken()
  const other = new SimpleToken()
  await leaves(FLAT, 20_000, () => anyOf(one, other, new TimeoutToken(60_000)).onCancel(nothing).stop())
  await collect()
  assert.deepEqual([one.cancelled, other.cancelled], [false, false])
})
