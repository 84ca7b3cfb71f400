/** What only a process of its own can show: how it ends, what it holds on to, what surfaces. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { run } from './run.js'

describe('a listener that throws', { concurrency: 2 }, () => {
  test('stops neither the others nor the canceller, and its error ends the process as any uncaught one', async () => {
    const { lines, errors, code } = await run('a listener throws')
    assert.deepEqual(lines, ['first', 'third', 'below', 'cancelled true'])
    assert.match(errors, /the listener broke/)
    assert.equal(code, 1)
  })

  test('leaves a process that handles uncaught errors going, with every error in turn', async () => {
    const { lines, errors, code } = await run('a listener throws, and somebody handles it')
    assert.deepEqual(lines, [
      'first',
      'third',
      'below',
      'cancelled true',
      'handled: the listener broke',
      'handled: the listener below broke',
      'handled: the late one broke',
      'went on',
    ])
    assert.deepEqual([errors, code], ['', 0])
  })

  test('does no harm when a timer called it', async () => {
    const { lines, code } = await run('a listener throws under a timer')
    assert.deepEqual([lines, code], [['second', 'handled: the listener broke', 'went on'], 0])
  })
})

describe('the process', { concurrency: 2 }, () => {
  for (const program of ['a wait for ever', 'a sleep for ever']) {
    test(`is kept alive by ${program}`, async () => {
      // One that holds nothing has long ended by then.
      const free = performance.now()
      assert.equal((await run('listeners')).code, 0)
      const { lines, killed } = await run(program, 3 * (performance.now() - free) + 500)
      assert.deepEqual([lines, killed], [[], true])
    })
  }

  const ends: Readonly<Record<string, string>> = {
    'a wait for a deadline': 'timeout',
    'a wait for a condition': 'condition',
    'a wait with a timeout': 'timeout',
    'a sleep': 'slept',
    'a race with a timeout': 'timeout',
    'a tick': '1',
  }
  for (const [program, last] of Object.entries(ends)) {
    test(`is kept alive by ${program}, and no longer`, async () => {
      const { lines, errors, code, killed } = await run(program)
      assert.deepEqual([lines, errors, code, killed], [[last], '', 0, false])
    })
  }

  test('is let go when waits, sleeps and races are over', async () => {
    const { lines, code, killed } = await run('a wait that is over')
    assert.deepEqual([lines.toSorted(), code, killed], [['awake', 'lost', 'over'], 0, false])
  })

  test('is not kept alive by listeners and signals, not even of deadlines and conditions', async () => {
    const { lines, errors, code, killed } = await run('listeners')
    assert.deepEqual([lines, errors, code, killed], [['listening'], '', 0, false])
  })
})

describe('waitSync', { concurrency: 2 }, () => {
  const kinds = { 'until a deadline': 'timeout', 'until a condition': 'condition', 'until a timeout': 'timeout' }
  for (const [what, expected] of Object.entries(kinds)) {
    test(`blocks ${what} without burning the processor`, async () => {
      const { lines, errors } = await run(`block ${what}`)
      assert.equal(lines.length, 1, errors)
      const { kind, took, cpu, calls } = JSON.parse(lines[0] as string) as Record<string, number>
      assert.equal(kind, expected)
      assert.ok((took as number) >= 599, `took ${took} ms`)
      assert.ok((cpu as number) < (took as number) / 2, `${cpu} ms of processor time in ${took} ms`)
      assert.ok(calls === undefined || calls < 60, `asked ${calls} times`)
    })
  }

  test('throws where nothing could ever end it, instead of hanging', async () => {
    const { lines, killed } = await run('block for ever')
    assert.equal(killed, false, `hung after: ${lines.join(', ')}`)
    assert.deepEqual(lines, [
      ...['simple', 'never', 'derived', 'all', 'grace', 'foreign', 'counter'].map((name) => `${name}: TypeError`),
      'cancelled: manual',
      'polled: counter',
    ])
  })
})

describe('what fails later', { concurrency: 2 }, () => {
  test('in a condition under a listener surfaces as an uncaught error', async () => {
    const { lines, errors, code } = await run('a condition throws')
    assert.deepEqual([lines, code], [[], 1])
    assert.match(errors, /the condition broke/)
  })

  test('in a condition is said every time it is asked, and it is asked on', async () => {
    const { lines, code } = await run('a condition throws, and somebody handles it')
    assert.deepEqual(lines, [...Array.from({ length: 3 }, () => 'handled: the condition broke'), 'condition'])
    assert.equal(code, 0)
  })

  test('in the losers of a race, or in the source of a reader that left, is never an unhandled rejection', async () => {
    const { lines, errors, code } = await run('losers fail late')
    assert.deepEqual(lines, ['won', 'timeout', 'manual', 'manual', 'manual', 'quiet'])
    assert.deepEqual([errors, code], ['', 0])
  })
})

describe('with the stack that a process has', { concurrency: 1 }, () => {
  for (const program of ['a million levels', 'a hundred thousand sums']) {
    test(`${program} poll, listen, print and cancel`, async () => {
      const { lines, errors, code } = await run(program)
      assert.deepEqual(
        lines,
        [
          'polls false',
          'left Infinity',
          'stopped true',
          'text true',
          'drawn true',
          'called 1',
          'polls true enough true',
          'drawn true',
        ],
        errors,
      )
      assert.equal(code, 0)
    })
  }

  test('graces and all-ofs poll, print, listen and end, with a small stack', async () => {
    // A fifth of the usual stack, for 3,000 levels: they cost more to make.
    const { lines, errors, code } = await run('graces and all-ofs', 60_000, ['--stack-size=200'])
    assert.deepEqual(
      [lines, code],
      [['polls false', 'left Infinity', 'text true', 'called 1', 'polls true'], 0],
      errors,
    )
  })

  test('a million levels wait, and make a signal once they are cancelled', async () => {
    const { lines, errors, code } = await run('a million levels wait')
    assert.deepEqual([lines, code], [['enough', 'true'], 0], errors)
  })
})

describe('console.log', { concurrency: 2 }, () => {
  test('draws tokens, with what is left and who called them off', async () => {
    const { lines, errors, code } = await run('print')
    assert.deepEqual(lines.slice(0, 3), [
      "SimpleToken({ name: 'request' })",
      "├─ SimpleToken({ name: 'server' })",
      '└─ CounterToken(3) 3 left',
    ])
    const text = lines.join('\n')
    assert.match(text, /\{\n? *token: \[\n? *SimpleToken\(\{ name: 'request' \}\)/)
    assert.match(text, /cancelled: .*"server".*shutting down/)
    assert.match(text, /DefaultToken\(\) SimpleToken\(\{ cancelled: true \}\)/)
    assert.deepEqual([errors, code], ['', 0])
  })

  test('an uncaught error names the token and the reason', async () => {
    const { lines, errors, code } = await run('print an error')
    assert.match(lines[0] as string, /AbortError.*"upload".*user pressed stop/)
    assert.match(errors, /token "upload" was cancelled: user pressed stop/)
    assert.equal(code, 1)
  })
})
