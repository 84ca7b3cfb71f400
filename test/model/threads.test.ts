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

/** A blocked thread. */
const sleeper =
  (code: Protocol, at = place): Program =>
  (memory) => {
    while (!code.isOver(memory, at)) memory.sleep(at.slot + STATE, at.alive)
    return read(code, memory, at)
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
        for (const mark of [1, 2, 3]) code.setDeadline(memory, place, new Int32Array(2).fill(mark))
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
} satisfies Record<string, (code: Protocol) => Setting>

/** Disposes of a token, and makes a new one in its place where it may. */
function owner(code: Protocol): Program {
  return (memory) => {
    const { won, next: alive } = code.dispose(memory, place)
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
      /memory\.compareExchange\(slot \+ STATE, alive, over\) === alive/,
      '(memory.load(slot + STATE) === alive && (memory.store(slot + STATE, over), true))',
      'three cancel',
      /exactly one winner/,
    ],
    [
      'a report is published before it is written',
      'const chunk = hand(memory, place, report);\n    return publish(memory, place, kind, chunk);',
      'const at = memory.load(place.slot + TAKEN); const won = publish(memory, place, kind, at); hand(memory, place, report); return won;',
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
