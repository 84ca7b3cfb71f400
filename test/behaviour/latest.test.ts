// oxlint-disable unicorn/no-thenable -- the thenables of these tests are meant to be some
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  CANCELLED,
  type CancellationToken,
  ConditionToken,
  CounterToken,
  isCancellation,
  latest,
  NEVER,
  SimpleToken,
  TimeoutToken,
} from 'calloff'
import { share, SharedToken } from 'calloff/threads'
import { blocking, deferred, rejection, stateOf, turn } from './helpers.js'
import { kinds } from './kinds.js'

/** A task that runs until the test settles it, and keeps what it was given. */
function manual() {
  const calls: (ReturnType<typeof deferred<string>> & { token: CancellationToken; name: string })[] = []
  const task = (token: CancellationToken, name: string) => {
    const call = { ...deferred<string>(), token, name }
    calls.push(call)
    return call.promise
  }
  return { calls, task, names: () => calls.map(({ name }) => name) }
}

const kindOf = async (promise: Promise<unknown>) => {
  const error = await rejection(promise)
  assert.ok(isCancellation(error), String(error))
  return (error as { kind?: unknown }).kind
}

describe('latest', () => {
  test('starts the task within the call, and resolves with its value', async () => {
    const { calls, task } = manual()
    const search = latest(task)
    const one = search('one')
    assert.deepEqual([calls[0]?.name, calls[0]?.token.cancelled], ['one', false])
    calls[0]?.resolve('found')
    assert.equal(await one, 'found')
    assert.equal(await latest((_token, a: number, b: number) => a + b)(2, 3), 5)
    assert.equal(calls[0]?.token.cancelled, false, 'the result may still be in use')
  })

  test('a new call cancels the call before it, and starts when the task of that call has settled', async () => {
    const { calls, task, names } = manual()
    const search = latest(task)
    const one = search('one')
    const two = search('two')
    assert.equal(calls[0]?.token.kind, 'superseded')
    assert.equal(await kindOf(one), 'superseded')
    assert.equal(await rejection(one), calls[0]?.token.error)
    await turn()
    assert.deepEqual(names(), ['one'])
    calls[0]?.resolve('old')
    await turn()
    assert.deepEqual(names(), ['one', 'two'])
    calls[1]?.resolve('new')
    assert.equal(await two, 'new')
  })

  test('of several calls that wait only the last one is started', async () => {
    const { calls, task, names } = manual()
    const search = latest(task)
    const all = ['a', 'b', 'c', 'd'].map((name) => search(name))
    for (const early of all.slice(0, 3)) assert.equal(await kindOf(early), 'superseded')
    calls[0]?.reject(new Error('after the cancellation, which is dropped'))
    await turn()
    assert.deepEqual(names(), ['a', 'd'])
    calls[1]?.resolve('ok')
    assert.equal(await all[3], 'ok')
  })

  test('a success that comes after the cancellation is too late', async () => {
    const { calls, task } = manual()
    const search = latest(task)
    const one = search('one')
    calls[0]?.token.onCancel(() => calls[0]?.resolve('old'))
    const two = search('two')
    assert.equal(await kindOf(one), 'superseded')
    calls[1]?.resolve('new')
    assert.equal(await two, 'new')
  })

  test('a success that comes after a deadline that has passed unnoticed is too late', async () => {
    using program = blocking()
    const { calls, task } = manual()
    const one = latest(task, { token: new TimeoutToken(60_000) })('one')
    program.block(60_000)
    calls[0]?.resolve('late')
    assert.equal(await kindOf(one), 'timeout')
  })

  test('a task that supersedes itself, and then returns, is too late', async () => {
    let inner: Promise<unknown> | undefined
    const run = latest((_token, isFirst: boolean) => {
      if (isFirst) inner = run(false)
      return isFirst
    }) as (isFirst: boolean) => Promise<unknown>
    assert.equal(await kindOf(run(true)), 'superseded')
    assert.equal(await inner, false)
  })

  test('a task that has failed by the time of the cancellation rejects with its failure', async () => {
    const { calls, task } = manual()
    const search = latest(task)
    const one = search('one')
    const boom = new Error('boom')
    calls[0]?.reject(boom)
    const two = search('two')
    assert.equal(await rejection(one), boom)
    await turn()
    calls[1]?.resolve('new')
    assert.equal(await two, 'new')
  })

  test('a failure rejects, cancels the token of the call, and leaves the way free', async () => {
    const tokens: CancellationToken[] = []
    const boom = new Error('boom')
    for (const fail of [
      () => {
        throw boom
      },
      async () => {
        throw boom
      },
    ]) {
      const search = latest((token, fails: boolean) => {
        tokens.push(token)
        return fails ? fail() : 'fine'
      })
      assert.equal(await rejection(search(true)), boom)
      assert.equal(tokens.at(-1)?.kind, 'dispose')
      assert.equal(await search(false), 'fine')
    }
  })

  test('a task that does not settle holds the next one; a cancel of the parent settles all callers', async () => {
    const parent = new SimpleToken()
    const { task, names } = manual()
    const search = latest(task, { token: parent })
    const one = search('one')
    const two = search('two')
    assert.equal(await kindOf(one), 'superseded')
    assert.equal(await stateOf(two), 'pending')
    parent.cancel('the page is left')
    assert.equal(await rejection(two), parent.error)
    assert.equal(await rejection(search('three')), parent.error)
    assert.deepEqual(names(), ['one'])
  })

  test('a call that was cancelled while it waited is not started', async () => {
    const parent = new SimpleToken()
    const { calls, task, names } = manual()
    const search = latest(task, { token: parent })
    const all = [search('one'), search('two')]
    parent.cancel()
    for (const one of all) await rejection(one)
    calls[0]?.resolve('late')
    await turn()
    assert.deepEqual(names(), ['one'])
  })

  test('a deadline of the parent that has passed unnoticed does not start a waiting call', async () => {
    using program = blocking()
    let finish = () => {}
    const parent = new TimeoutToken(60_000)
    const names: string[] = []
    const search = latest(
      (_token, name: string) => {
        names.push(name)
        // It settles within the call of `finish`, so before any timer can have noticed the deadline.
        return { then: (yes: (value: string) => void) => (finish = () => yes(name)) } as unknown as Promise<string>
      },
      { token: parent },
    )
    void search('one')
    const two = search('two')
    program.block(60_000)
    finish()
    assert.equal(await kindOf(two), 'timeout')
    assert.deepEqual(names, ['one'])
  })

  test('a call that uses up the counter of its parent rejects, and the call before it leaves the way free', async () => {
    const { calls, task, names } = manual()
    const counter = new CounterToken(2, { direct: false })
    const search = latest(task, { token: counter })
    const one = search('one')
    const two = search('two')
    assert.deepEqual([await kindOf(two), await kindOf(one)], ['counter', 'counter'])
    calls[0]?.resolve('')
    await turn()
    assert.deepEqual(names(), ['one'])
    assert.equal(await kindOf(search('three')), 'counter')
  })

  test('tasks that call again and end at once need no deep stack', async () => {
    const calls = 20_000
    let started = 0
    let last: Promise<number> | undefined
    const again = latest((): number => {
      if (++started < calls) last = again()
      return started
    })
    void again()
    assert.equal(started, calls)
    assert.equal(await last, calls)
  })

  test('{ key } keeps one call per key', async () => {
    const { calls, task, names } = manual()
    const save = latest(task, { key: (name) => name[0] })
    const a1 = save('a1')
    const b1 = save('b1')
    const a2 = save('a2')
    assert.deepEqual(names(), ['a1', 'b1'])
    assert.equal(await kindOf(a1), 'superseded')
    calls[1]?.resolve('b')
    assert.equal(await b1, 'b')
    calls[0]?.resolve('')
    await turn()
    calls[2]?.resolve('a')
    assert.equal(await a2, 'a')
  })

  test('a key that throws rejects the call, and starts and cancels nothing', async () => {
    const boom = new Error('boom')
    const { calls, task } = manual()
    const save = latest(task, {
      key: (name) => {
        if (name === 'bad') throw boom
      },
    })
    const one = save('one')
    assert.equal(await rejection(save('bad')), boom)
    calls[0]?.resolve('fine')
    assert.equal(await one, 'fine')
  })

  test('a key that cancels the parent starts nothing', async () => {
    const token = new SimpleToken()
    const { task, names } = manual()
    assert.equal(await kindOf(latest(task, { token, key: () => void token.cancel() })('one')), 'manual')
    assert.deepEqual(names(), [])
  })

  test('{ wait: false } starts at once, beside a task that is slow to stop', async () => {
    const { calls, task, names } = manual()
    const search = latest(task, { wait: false })
    const all = ['a', 'b', 'c'].map((name) => search(name))
    assert.deepEqual(names(), ['a', 'b', 'c'])
    calls[2]?.resolve('c')
    assert.equal(await all[2], 'c')
    const next = search('d')
    calls[0]?.resolve('a')
    calls[1]?.reject(new Error('late'))
    for (const early of all.slice(0, 2)) assert.equal(await kindOf(early), 'superseded')
    calls[3]?.resolve('d')
    assert.equal(await next, 'd')
  })

  test('cancel() cancels what runs and what waits, of every key, and no later call', async () => {
    const { calls, task } = manual()
    const search = latest(task, { key: (name) => name[0] })
    search.cancel('nothing runs')
    const all = ['a1', 'a2', 'b1'].map((name) => search(name))
    search.cancel('the user left')
    search.cancel('a second time')
    const [, ...others] = await Promise.all(all.map(rejection))
    for (const error of others as { kind: string; cause: unknown }[]) {
      assert.deepEqual([error.kind, error.cause], ['manual', 'the user left'])
    }
    for (const { resolve } of calls) resolve('late')
    await turn()
    const next = search('a3')
    calls[2]?.resolve('fine')
    assert.equal(await next, 'fine')
    assert.equal(calls.length, 3)
  })

  test('a listener that calls again supersedes the call that has cancelled it', async () => {
    for (const wait of [true, false]) {
      const { calls, task, names } = manual()
      const search = latest(task, { wait })
      let inner: Promise<string> | undefined
      const one = search('one')
      calls[0]?.token.onCancel(() => {
        inner = search('inner')
      })
      const two = search('two')
      assert.deepEqual([await kindOf(one), await kindOf(two)], ['superseded', 'superseded'])
      calls[0]?.resolve('')
      await turn()
      assert.deepEqual(names(), ['one', 'inner'])
      calls[1]?.resolve('done')
      assert.equal(await inner, 'done')
    }
  })

  test('a task that settles while it is cancelled lets the next one start within the call', async () => {
    const started: string[] = []
    const search = latest((token, name: string) => {
      started.push(name)
      // Its outcome comes within the cancellation.
      return {
        then: (yes: (value: string) => void) => void token.onCancel(() => yes('')),
      } as unknown as Promise<string>
    })
    void search('one')
    void search('two')
    assert.deepEqual(started, ['one', 'two'])
    search.cancel()
    await turn()
  })

  test('a thenable is asked once', async () => {
    let asked = 0
    const query = {
      then(yes: (value: number) => void) {
        asked++
        yes(5)
      },
    }
    assert.equal(await latest(() => query as PromiseLike<number>)(), 5)
    assert.equal(asked, 1)
  })

  test('the cancellation of another token is a failure like any other', async () => {
    const other = new SimpleToken().cancel()
    assert.equal(await rejection(latest(() => other.check())()), other.error)
  })

  test('what a client throws when it is cancelled becomes the error of the token', async () => {
    const search = latest(
      (token, _q: string) =>
        new Promise((_yes, no) => {
          token.onCancel(() => no(new DOMException('aborted', 'AbortError')))
        }),
    )
    const one = search('one')
    const two = search('two')
    assert.equal(await kindOf(one), 'superseded')
    search.cancel()
    assert.equal(await kindOf(two), 'manual')
  })

  test('a call that is never awaited ends no process when it is superseded', async () => {
    const search = latest((token) => token.sleep(60_000))
    void search()
    void search()
    search.cancel()
    await turn()
  })

  for (const { name, make } of kinds) {
    test(`under ${name}: nothing is started once it is cancelled, and all callers get its error`, async () => {
      const token = make()
      const search = latest((own) => own.wait(), { token })
      const first = search()
      const second = search()
      assert.equal(await kindOf(first), 'superseded')
      token.cancel('enough')
      assert.equal(await rejection(second), token.error)
      let started = false
      assert.equal(await rejection(latest(() => (started = true), { token })()), token.error)
      assert.equal(started, false)
    })
  }

  test('the kind survives a clone of the error, and crosses to another thread', async () => {
    const shared: SharedToken[] = []
    const run = latest((token) => {
      shared.push(SharedToken.from(structuredClone(share(token).handle)))
      return token.wait()
    })
    const error = rejection(run())
    void run()
    assert.ok(isCancellation(structuredClone(await error)))
    assert.equal(shared[0]?.error?.kind, 'superseded')
    run.cancel()
  })

  test('takes what from() takes as its parent', async () => {
    const controller = new AbortController()
    for (const token of [controller.signal, controller]) {
      const one = latest((own) => own.sleep(60_000), { token })()
      controller.abort()
      assert.ok(isCancellation(await rejection(one)))
    }
    for (const token of [null, undefined, NEVER]) assert.equal(await latest(() => 5, { token })(), 5)
    assert.ok(isCancellation(await rejection(latest(() => 5, { token: CANCELLED })()), CANCELLED))
  })

  test('a condition of the parent that throws rejects the call', async () => {
    const boom = new Error('boom')
    const token = new ConditionToken(
      () => {
        throw boom
      },
      { suppressExceptions: false },
    )
    assert.equal(await rejection(latest(() => 5, { token })()), boom)
  })

  test('refuses what is no function, and what is no token', () => {
    for (const bad of [5, 'kek', null, undefined, {}]) {
      assert.throws(() => latest(bad as never), { name: 'TypeError', message: /^task must be a function, got / })
    }
    assert.throws(() => latest(() => 5, { key: 5 as never }), /^TypeError: key must be a function, got 5/)
    assert.throws(() => latest(() => 5, { wait: 5 as never }), /^TypeError: wait must be a boolean, got 5/)
    assert.throws(() => latest(() => 5, { token: 5 as never }), /^TypeError: token must be a token, .*, got 5/)
  })
})
