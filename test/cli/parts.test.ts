import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type * as durationModule from '../../dist/cli/terminal/duration.js'
import type * as nearestModule from '../../dist/core/nearest.js'
import type * as textModule from '../../dist/cli/terminal/text.js'
import type * as visibleModule from '../../dist/cli/terminal/visible.js'

const load = (name: string): Promise<unknown> => import(new URL(`../../../dist/cli/${name}.js`, import.meta.url).href)
const { formatDuration, parseDuration } = (await load('terminal/duration')) as typeof durationModule
const { nearest } = (await load('../core/nearest')) as typeof nearestModule
const { cutTo, tableOf, widthOf, wrap } = (await load('terminal/text')) as typeof textModule
const { visible, visibleJson } = (await load('terminal/visible')) as typeof visibleModule

describe('a duration', () => {
  const known: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['0s', 0],
    ['500ms', 500],
    ['30s', 30_000],
    ['1h30m', 5_400_000],
    ['1h 30m', 5_400_000],
    [' 1.5H ', 5_400_000],
    ['.5s', 500],
    ['2d', 172_800_000],
    ['1w', 604_800_000],
  ]
  for (const [text, ms] of known) it(`${text} is ${ms} ms`, () => assert.equal(parseDuration(text), ms))

  for (const text of ['', ' ', '30', '-1s', '1x', 's', '1s!', '1,5s', '1e3s', 'Infinity', '1h-30m', 'NaN']) {
    it(`${JSON.stringify(text)} is none`, () => assert.equal(parseDuration(text), undefined))
  }

  it('is written as it is read', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1_000_000 }),
        fc.constantFrom(1, 1_000, 60_000, 3_600_000),
        (count, unit) => {
          const ms = count * unit
          const again = parseDuration(formatDuration(ms)) as number
          // Two units are shown, so what is lost is less than the smaller of them.
          assert.ok(again <= ms && ms - again < Math.max(1, ms / 7), `${ms} is shown as ${formatDuration(ms)}`)
        },
      ),
    )
  })
})

describe('a mistyped word', () => {
  for (const [word, meant] of [
    ['cancle', 'cancel'],
    ['stauts', 'status'],
    ['wach', 'watch'],
    ['l', 'ls'],
    ['kill', undefined],
    ['timeout', undefined],
  ] as const) {
    it(`${word} is taken for ${meant ?? 'nothing'}`, () => {
      assert.equal(nearest(word, ['run', 'cancel', 'wait', 'ls', 'status', 'watch', 'serve']), meant)
    })
  }
})

describe('a text', () => {
  it('has nothing in it that a terminal would obey', () => {
    assert.equal(visible('a\u001B]0;title\u0007\r\nb\u202Ec'), 'a\\u{1b}]0;title\\u{7}\\u{d}\\nb\\u{202e}c')
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !/\p{Cc}/u.test(visible(text))))
  })

  const unsafe = [
    '\u0007',
    '\u001B',
    '\u0085',
    '\u009B',
    '\u00AD',
    '\u061C',
    '\u200B',
    '\u200E',
    '\u2028',
    '\u202E',
    '\u2066',
    '\uFEFF',
    '\uD800',
    '\u{E0041}',
  ]
  for (const one of unsafe) {
    const code = (one.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0')
    it(`shows U+${code} as what it is, in text and in JSON`, () => {
      assert.equal(visible(`job${one}`), `job\\u{${code.toLowerCase().replace(/^0+/, '')}}`)
      const json = visibleJson(JSON.stringify({ name: `job${one}` }))
      assert.ok(!json.includes(one))
      assert.deepEqual(JSON.parse(json), { name: `job${one}` })
    })
  }

  it('keeps words and pictures that joiners are part of', () => {
    for (const one of ['\u0645\u06CC\u200C\u062E\u0648\u0627\u0647\u0645', '\u{1F469}\u200D\u{1F680}', 'e\u0301'])
      assert.equal(visible(one), one)
  })

  it('is as wide as a terminal shows it', () => {
    assert.deepEqual(['abc', '日本', 'e\u0301', '👍', '\u001B[1mx\u001B[22m'].map(widthOf), [3, 4, 1, 2, 1])
    assert.deepEqual([cutTo('abcdef', 4), cutTo('日本語', 4), cutTo('abc', 3)], ['abc…', '日…', 'abc'])
  })

  it('is wrapped between words', () => {
    assert.deepEqual(wrap('one two three', 7), ['one two', 'three'])
  })

  it('stands in columns, within a width', () => {
    const rows = [
      [{ text: 'NAME' }, { text: 'WHY' }],
      [{ text: '日本' }, { text: 'a long story' }],
    ]
    const plain = (_format: unknown, text: string) => text
    assert.deepEqual(tableOf(rows, plain), ['NAME  WHY', '日本  a long story'])
    assert.deepEqual(tableOf(rows, plain, 10), ['NAME  WHY', '日本  a l…'])
  })
})
