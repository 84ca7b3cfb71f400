/**
 * The protocol of the shared words, through every interleaving of two and three threads, with plain reads that may be stale.
 *
 * What is checked: cancelled is final; exactly one wins; who reads "cancelled" reads the winner's whole report; no wake-up is
 * lost; a canceller that dies anywhere leaves nobody asleep for ever; a token in a place that is used again is nobody else's.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Ending, explore, type Program, type Setting } from './explore.js'
import { broken, layout, type Protocol, protocol } from './protocol.js'

const { aliveState, chunkOf, isOf, kindOf, PAGE_BELL, slotAt, STATE } = layout
const slot = slotAt(0)
const place = { slot, bell: PAGE_BELL, alive: 0 }
const next = { ...place, alive: aliveState(1) }
const count = slot + layout.COUNT
const other = { slot: slotAt(1), bell: PAGE_BELL, alive: 0 }

// ---- What threads do. Reports are two words with the same number in them: half of one would show.

const canceller =
  (code: Protocol, mark: number, at = place): Program =>
  (memory) =>
    code.cancel(memory, at, 'manual', () => Int32Array.of(mark, mark))

/** What a token reads as: undefined while it is alive, else its kind and report. */
function read(code: Protocol, memory: Parameters<Program>[0], at = place) {
  const state = code.stateOf(memory, at)
  if (state === at.alive) return undefined
  const kind = isOf(state, at.alive) ? kindOf(state) : 'dispose'
  return { kind, report: [...code.readReport(memory, at, state, () => 2)] }
}

/** Polls as a token does, by plain reads, and looks twice once it is over. */
const poller =
  (code: Protocol, at = place): Program =>
  (memory) => {
    for (let polls = 0; polls < 2; polls++) {
      if (memory.read(at.slot + STATE) !== at.alive) assert.ok(code.isOver(memory, at), 'a plain read was ahead')
    }
    const first = read(code, memory, at)
    const second = read(code, memory, at)
    if (first) assert.deepEqual(second?.kind, first.kind, 'cancelled is final')
    return first
  }

/** A blocked thread, in memory of the caller's own. */
const sleeper =
  (code: Protocol, at = place): Program =>
  (memory) => {
    while (!code.isOver(memory, at)) memory.sleep(at.slot + STATE, at.alive)
    return read(code, memory, at)
  }

/** A blocked thread on a page, where the deadline may begin, or move: it reads the bell before it looks. */
const blocked =
  (code: Protocol, due: number, at = place): Program =>
  (memory) => {
    for (;;) {
      const rung = memory.load(at.bell)
      if (code.isOver(memory, at)) return read(code, memory, at)
      if (code.dueOf(memory, at) >= due) return 'due'
      memory.sleep(at.bell, rung)
    }
  }

const twice = (mark: number) => () => Int32Array.of(mark, mark)

/** What the owner writes as a deadline: a moment, in one word here, and how the token ends then. */
function tell(code: Protocol, memory: Parameters<Program>[0], at: typeof place, mark: number, isNearer = true): void {
  const ending = code.prepare(memory, at, 'lease', twice(mark))
  code.setDeadline(memory, at, Int32Array.of(mark, ending), isNearer)
}

/** A thread that sees the deadline pass, if it has begun. */
const passer =
  (code: Protocol, at = place): Program =>
  (memory) => {
    const words = new Int32Array(2)
    return code.readDeadline(memory, at, words) ? code.publish(memory, at, words[1] as number) : 'none'
  }

/** A thread that listens to both tokens of a page by one doorbell, until both are over. */
const listener =
  (code: Protocol, tokens = [place, other]): Program =>
  (memory) => {
    const over = new Set<object>()
    while (over.size < tokens.length) {
      const look = () => {
        for (const one of tokens) if (!over.has(one) && code.isOver(memory, one)) over.add(one)
      }
      code.listen(memory, PAGE_BELL, look, (rung) => {
        if (over.size < tokens.length) memory.sleep(PAGE_BELL, rung)
      })
    }
    return 'heard'
  }

// ---- What has to hold at every end

function oneWinner(
  { results, valueOf }: Ending,
  cancellers: readonly number[],
  marks: readonly (number | undefined)[],
): void {
  const winners = cancellers.filter((at) => results[at] === true)
  assert.equal(winners.length, 1, 'there is exactly one winner')
  const state = valueOf(slot + STATE)
  const report = chunkOf(state) < 0 ? undefined : valueOf(layout.reportAt(slot) + chunkOf(state))
  assert.equal(report, marks[cancellers.indexOf(winners[0]!)], 'the report is the winner’s')
}

/** The number in the report of the one who is on record. */
function reportOf({ valueOf }: Ending): number | undefined {
  const chunk = chunkOf(valueOf(slot + STATE))
  return chunk < 0 ? undefined : valueOf(layout.reportAt(slot) + chunk)
}

/** How the deadline that holds ends the token. */
function endingNow(code: Protocol, memory: Parameters<Program>[0], at: typeof place): number {
  const words = new Int32Array(2)
  code.readDeadline(memory, at, words)
  return words[1] as number
}

/** Whoever has seen it cancelled has seen the whole report of the one who is on record. */
function wholeReport({ results, valueOf }: Ending, readers: readonly number[]): void {
  const state = valueOf(slot + STATE)
  for (const at of readers) {
    const found = results[at] as { report: number[] } | undefined
    if (!found) continue
    const begins = layout.reportAt(slot) + chunkOf(state)
    const expected = chunkOf(state) < 0 ? [] : [valueOf(begins), valueOf(begins + 1)]
    assert.deepEqual(found.report, expected, 'the report is whole')
  }
}

const nobodySleeps = ({ fates }: Ending) => assert.ok(!fates.includes('asleep'), 'nobody sleeps on')

// ---- Settings; each for the protocol as it is, and for broken ones

const settings = {
  'two cancel and one polls': (code: Protocol): Setting => ({
    programs: [canceller(code, 7), canceller(code, 9), poller(code)],
    check: (ending) => {
      oneWinner(ending, [0, 1], [7, 9])
      wholeReport(ending, [2])
    },
  }),
  'three cancel': (code: Protocol): Setting => ({
    programs: [
      canceller(code, 7),
      canceller(code, 9),
      (memory) => code.cancel(memory, place, 'manual', () => undefined),
    ],
    check: (ending) => oneWinner(ending, [0, 1, 2], [7, 9, undefined]),
  }),
  'one cancels and two poll': (code: Protocol): Setting => ({
    programs: [canceller(code, 7), poller(code), poller(code)],
    check: (ending) => {
      oneWinner(ending, [0], [7])
      wholeReport(ending, [1, 2])
    },
  }),
  'two cancel and one is blocked': (code: Protocol): Setting => ({
    programs: [canceller(code, 7), canceller(code, 9), sleeper(code)],
    check: (ending) => {
      nobodySleeps(ending)
      wholeReport(ending, [2])
    },
  }),
  'one cancels, one is blocked and one listens': (code: Protocol): Setting => ({
    programs: [canceller(code, 7), sleeper(code), listener(code, [place])],
    check: nobodySleeps,
  }),
  'two tokens of a page are cancelled, and one listens to both': (code: Protocol): Setting => ({
    programs: [canceller(code, 7), canceller(code, 9, other), listener(code)],
    check: nobodySleeps,
  }),
  'a canceller dies anywhere, and one is blocked': (code: Protocol): Setting => ({
    programs: [canceller(code, 7), canceller(code, 9), sleeper(code)],
    mortal: [0],
    slices: true,
    check: (ending) => {
      nobodySleeps(ending)
      wholeReport(ending, [2])
      assert.notEqual(ending.valueOf(slot + STATE), place.alive, 'the other one has cancelled it')
    },
  }),
  'the only canceller dies anywhere': (code: Protocol): Setting => ({
    programs: [canceller(code, 7), sleeper(code), listener(code, [place])],
    mortal: [0],
    slices: true,
    check: (ending) => {
      if (ending.valueOf(slot + STATE) !== place.alive) nobodySleeps(ending)
      wholeReport(ending, [1])
    },
  }),
  'the owner makes a new token in the place, while the old one is cancelled and polled': (code: Protocol): Setting => ({
    programs: [owner(code), canceller(code, 7), poller(code)],
    check: (ending) => {
      const { won, reused } = ending.results[0] as { won: boolean; reused: boolean }
      const cancelled = ending.results[1] as boolean
      assert.notEqual(won, cancelled, 'there is exactly one winner')
      if (reused) assert.equal(ending.valueOf(slot + STATE), next.alive, 'the new token is alive')
      const seen = ending.results[2] as ReturnType<typeof read>
      if (seen) assert.deepEqual(seen, won ? { kind: 'dispose', report: [] } : { kind: 'manual', report: [7, 7] })
    },
  }),
  'the new token in a used place is cancelled, while the old one is': (code: Protocol): Setting => ({
    programs: [
      (memory) => {
        const { reused } = owner(code)(memory) as { reused: boolean }
        return reused
          ? code.cancel(memory, next, 'lease', (room) => (room < 2 ? undefined : Int32Array.of(9, 9)))
          : 'not used'
      },
      canceller(code, 7),
      (memory) => [read(code, memory, next), read(code, memory, place)],
    ],
    check: (ending) => {
      const [used, old, [fresh, former]] = ending.results as [boolean | string, boolean, ReturnType<typeof read>[]]
      if (used !== 'not used') assert.ok(!old, 'who cancels the old one has nothing to do with the new one')
      if (former) assert.deepEqual(former, old ? { kind: 'manual', report: [7, 7] } : { kind: 'dispose', report: [] })
      // Of the new token's reader, before there was a new token: it reads as disposed of, as any other generation does.
      if (fresh && fresh.kind !== 'dispose') assert.deepEqual(fresh, { kind: 'lease', report: [9, 9] })
    },
  }),
  'the owner moves the deadline twice while one reads it': (code: Protocol): Setting => ({
    programs: [
      (memory) => {
        for (const mark of [1, 2, 3]) code.setDeadline(memory, place, new Int32Array(2).fill(mark), false)
      },
      (memory) => {
        const words = new Int32Array(2)
        return [code.readDeadline(memory, place, words), ...words]
      },
    ],
    check: ({ results }) => {
      const [due, ...words] = results[1] as number[]
      assert.deepEqual(words, [due, due], 'the deadline is of one piece')
    },
  }),
  'a deadline begins, and one sees it pass and one polls': (code: Protocol): Setting => ({
    programs: [(memory) => tell(code, memory, place, 7), passer(code), poller(code)],
    check: (ending) => {
      if (ending.results[1] === true) assert.equal(reportOf(ending), 7, 'the report is that of the deadline')
      wholeReport(ending, [2])
    },
  }),
  'a deadline becomes another one, and one sees it pass and one cancels': (code: Protocol): Setting => ({
    programs: [
      (memory) => {
        tell(code, memory, place, 7)
        tell(code, memory, place, 9)
      },
      (memory) => [passer(code)(memory), read(code, memory)],
      canceller(code, 5),
    ],
    check: (ending) => {
      const [passed, seen] = ending.results[1] as [boolean | 'none', ReturnType<typeof read>]
      assert.notEqual(passed === true, ending.results[2], 'there is exactly one winner')
      assert.ok((passed === true ? [7, 9] : [5]).includes(reportOf(ending)!), 'the report is the winner’s')
      if (seen) assert.deepEqual(seen.report, [reportOf(ending), reportOf(ending)], 'the report is whole')
    },
  }),
  'the owner makes a new token with a deadline in a place that had one, which one sees pass, and one cancels': (
    code: Protocol,
  ): Setting => ({
    programs: [
      (memory) => {
        tell(code, memory, place, 7)
        const { won, next: alive } = code.dispose(memory, place, 2)
        if (alive === undefined) return { won, reused: false }
        code.begin(memory, next)
        tell(code, memory, next, 9)
        return { won, reused: true, over: code.publish(memory, next, endingNow(code, memory, next)) }
      },
      (memory) => [passer(code)(memory), read(code, memory)],
      (memory) => code.cancel(memory, place, 'manual', twice(5)),
    ],
    check: (ending) => {
      const { won, reused, over } = ending.results[0] as { won: boolean; reused: boolean; over?: boolean }
      const [passed, seen] = ending.results[1] as [boolean | 'none', ReturnType<typeof read>]
      const winners = [won, passed === true, ending.results[2] === true]
      assert.equal(winners.filter(Boolean).length, 1, 'there is exactly one winner')
      if (reused) {
        assert.ok(over, 'the new token is nobody else’s')
        assert.equal(reportOf(ending), 9, 'the report is that of the new token')
      }
      const report = passed === true ? [7, 7] : won ? [] : [5, 5]
      if (seen) assert.deepEqual(seen.report, report, 'the report is whole')
    },
  }),
  'a deadline begins, and one is blocked and one listens': (code: Protocol): Setting => ({
    programs: [
      (memory) => tell(code, memory, place, 7),
      blocked(code, 1),
      (memory) => {
        let isDue = false
        const look = () => void (isDue = code.dueOf(memory, place) > 0)
        const sleep = (rung: number) => void (isDue || memory.sleep(PAGE_BELL, rung))
        while (!isDue) code.listen(memory, PAGE_BELL, look, sleep)
      },
    ],
    check: nobodySleeps,
  }),
  'a deadline is moved away while one begins to tell others of it': (code: Protocol): Setting => ({
    programs: [
      (memory) => {
        for (const mark of [1, 2]) code.setDeadline(memory, place, Int32Array.of(mark, mark), false)
      },
      (memory) => {
        code.followDeadline(memory, place)
        return blocked(code, 2)(memory)
      },
    ],
    check: nobodySleeps,
  }),
  'three threads use up a counter': (code: Protocol): Setting => ({
    programs: [taker(code, 2), taker(code, 2), taker(code, 2)],
    initial: new Map([[count, 3]]),
    check: ({ results, valueOf }) => {
      assert.equal(sum(results), 3, 'as many polls as there are')
      assert.equal(valueOf(count), 0)
    },
  }),
  'two threads use up a counter, of which one dies anywhere': (code: Protocol): Setting => ({
    programs: [taker(code, 3), taker(code, 3)],
    initial: new Map([[count, 3]]),
    mortal: [0],
    check: ({ results, fates, valueOf }) => {
      const taken = sum(results)
      assert.equal(valueOf(count), 0, 'who lives has gone on')
      assert.ok(fates[0] === 'dead' ? taken <= 3 : taken === 3, 'as many polls as there are')
    },
  }),
  'two threads use up a counter, and one is blocked until it is empty': (code: Protocol): Setting => ({
    programs: [
      taker(code, 2),
      taker(code, 1),
      (memory) => {
        for (;;) {
          const rung = memory.load(PAGE_BELL)
          if (code.pollsLeft(memory, slot) === 0) return
          memory.sleep(PAGE_BELL, rung)
        }
      },
    ],
    initial: new Map([[count, 3]]),
    check: nobodySleeps,
  }),
} satisfies Record<string, (code: Protocol) => Setting>

/** Polls so often; gives how many of the polls found the counter alive. */
function taker(code: Protocol, polls: number): Program {
  return (memory) => {
    let taken = 0
    for (let i = 0; i < polls; i++) if (code.takePoll(memory, { slot, bell: PAGE_BELL })) taken++
    return taken
  }
}

function sum(results: readonly unknown[]): number {
  return results.reduce<number>((all, one) => all + ((one as number | undefined) ?? 0), 0)
}

/** Disposes of a token, and makes a new one in its place where it may. */
function owner(code: Protocol): Program {
  return (memory) => {
    const { won, next: alive } = code.dispose(memory, place, 0)
    if (alive !== undefined) code.begin(memory, { ...place, alive })
    return { won, reused: alive !== undefined }
  }
}

describe('every interleaving', () => {
  for (const [name, make] of Object.entries(settings)) {
    it(`is sound where ${name}`, (context) => {
      const states = explore(make(protocol))
      assert.ok(states > 20, `${states} states are too few to be all`)
      context.diagnostic(`${states} states`)
    })
  }
})

describe('a broken protocol is found out', () => {
  const faults: readonly (readonly [string, string | RegExp, string, keyof typeof settings, RegExp])[] = [
    [
      'two may win',
      /memory\.compareExchange\(slot \+ STATE, alive, alive \| ending\) === alive/,
      '(memory.load(slot + STATE) === alive && (memory.store(slot + STATE, alive | ending), true))',
      'three cancel',
      /exactly one winner/,
    ],
    [
      'a report is published before it is written',
      'return publish(memory, place, prepare(memory, place, kind, report));',
      'const at = memory.load(place.slot + TAKEN); const won = publish(memory, place, endingOf(kind, at)); hand(memory, place, report); return won;',
      'one cancels and two poll',
      /the report is whole/,
    ],
    [
      'a part of the report area is given out twice',
      'const found = memory.compareExchange(slot + TAKEN, taken, taken + words.length);',
      'const found = memory.load(slot + TAKEN); memory.store(slot + TAKEN, taken + words.length);',
      'two cancel and one polls',
      /the report is/,
    ],
    [
      'the bell is rung too early',
      /const won = (memory.*?);\s+if \(won\)\s+ring\(memory, place\);/s,
      'ring(memory, place); const won = $1;',
      'one cancels, one is blocked and one listens',
      /nobody sleeps on/,
    ],
    [
      'who is blocked is not woken',
      'memory.notify(slot + STATE);',
      '',
      'two cancel and one is blocked',
      /nobody sleeps on/,
    ],
    [
      'who listens is not woken',
      'memory.notify(bell);',
      '',
      'two tokens of a page are cancelled, and one listens to both',
      /nobody sleeps on/,
    ],
    [
      'the doorbell does not change',
      'memory.add(bell, 1);',
      '',
      'two tokens of a page are cancelled, and one listens to both',
      /nobody sleeps on/,
    ],
    [
      'the bell is read after the look',
      'const rung = memory.load(bell);\n    look();',
      'look();\n    const rung = memory.load(bell);',
      'two tokens of a page are cancelled, and one listens to both',
      /nobody sleeps on/,
    ],
    [
      'a place is used again whatever was written there',
      'const reusable = won &&',
      'const reusable = true || won &&',
      'the owner makes a new token in the place, while the old one is cancelled and polled',
      /./,
    ],
    [
      'a state of another generation is taken for one’s own',
      'const chunk = isOf(state, alive) ?',
      'const chunk = true ?',
      'the new token in a used place is cancelled, while the old one is',
      /deep.*equal/i,
    ],
    [
      'the deadline that holds is written over',
      'const at = deadlineAt(slot, due);\n    // Atomic',
      'const at = deadlineAt(slot, due - 1);\n    // Atomic',
      'the owner moves the deadline twice while one reads it',
      /of one piece/,
    ],
    [
      'nobody is told of a deadline that begins',
      'if (isNearer || memory.load(slot + FOLLOWED))',
      'if (memory.load(slot + FOLLOWED))',
      'a deadline begins, and one is blocked and one listens',
      /nobody sleeps on/,
    ],
    [
      'the owner looks for who tells others before he moves the deadline',
      /memory\.store\(slot \+ DUE, due\);\s+if \(isNearer \|\| memory\.load\(slot \+ FOLLOWED\)\)/,
      'const told = memory.load(slot + FOLLOWED); memory.store(slot + DUE, due); if (isNearer || told)',
      'a deadline is moved away while one begins to tell others of it',
      /nobody sleeps on/,
    ],
    [
      'the report area is given back though others have taken a part of it',
      'memory.compareExchange(place.slot + TAKEN, own, 0) === own',
      '(memory.store(place.slot + TAKEN, 0), true)',
      'the owner makes a new token with a deadline in a place that had one, which one sees pass, and one cancels',
      /the report is/,
    ],
    [
      'two threads take the same poll of a counter',
      'const found = memory.compareExchangeLong(slot + COUNT, left, left - 1);',
      'const found = left; memory.store(slot + COUNT, left - 1);',
      'three threads use up a counter',
      /as many polls as there are/,
    ],
    ['a counter goes below 0', 'left > 0;', ';', 'three threads use up a counter', /as many polls as there are/],
    [
      'nobody is told of the last poll',
      'if (left === 1)',
      'if (false)',
      'two threads use up a counter, and one is blocked until it is empty',
      /nobody sleeps on/,
    ],
    [
      'a deadline is not read again',
      'if (memory.load(slot + DUE) === due)',
      'if (true)',
      'the owner moves the deadline twice while one reads it',
      /of one piece/,
    ],
  ]
  for (const [fault, from, to, setting, complaint] of faults) {
    it(`when ${fault}`, async () => {
      const code = await broken(from, to)
      assert.throws(() => explore(settings[setting](code)), complaint)
    })
  }
})
