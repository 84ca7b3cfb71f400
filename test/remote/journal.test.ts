/** The journal: what it has acknowledged is there after a crash, whatever else is at its end. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { type Change, Journal, recordsIn, Store } from './inside.js'

const folder = mkdtempSync(join(tmpdir(), 'calloff-journal-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let names = 0
const file = () => join(folder, `journal-${++names}`)

const mark = { id: 'a', kind: 'manual', reason: '"stop"', host: 'h', pid: 1, token: '', what: 'was cancelled', at: 0 }
const changeOf = (name: string, reason = mark.reason): Change => ({
  type: 'mark',
  topic: { name, run: '' },
  mark: { ...mark, id: name, reason },
  until: Date.now() + 1e9,
})

async function written(path: string, changes: readonly Change[]): Promise<void> {
  const { journal } = await Journal.open(path)
  await Promise.all(changes.map((change) => journal.append(change)))
  await journal.close()
}

async function read(path: string): Promise<readonly Change[]> {
  const { journal, changes } = await Journal.open(path)
  await journal.close()
  return changes
}

const LIMITS = { marks: 100_000, names: 10 }

describe('a journal', () => {
  it('gives back what was written, in order, also over several lives', async () => {
    const path = file()
    const [a, b, c] = [changeOf('a'), changeOf('b', '"é😀\\n"'), changeOf('c')]
    await written(path, [a, b])
    await written(path, [c])
    assert.deepEqual(await read(path), [a, b, c])
    if (process.platform !== 'win32') assert.equal(statSync(path).mode & 0o777, 0o600)
  })

  it('cut off anywhere gives back all whole records before, and goes on from there', async () => {
    const path = file()
    const changes = [changeOf('a'), changeOf('b'), changeOf('c')]
    await written(path, changes)
    const whole = readFileSync(path)
    let found = -1
    for (let end = 0; end <= whole.length; end++) {
      writeFileSync(path, whole.subarray(0, end))
      const before = await read(path)
      assert.deepEqual(before, changes.slice(0, before.length), `cut off at ${end}`)
      assert.ok(before.length >= found, `cut off at ${end}`)
      found = before.length
      if (end % 7 === 0) {
        const more = changeOf('more')
        await written(path, [more])
        assert.deepEqual(await read(path), [...before, more], `written on after being cut off at ${end}`)
      }
    }
    assert.equal(found, 3)
  })

  it('with a byte that is wrong gives back all records before', async () => {
    const path = file()
    await written(path, [changeOf('a'), changeOf('b')])
    const whole = readFileSync(path)
    assert.equal(recordsIn(whole).end, whole.length)
    for (let at = 18; at < whole.length; at++) {
      const wrong = Buffer.from(whole)
      wrong[at]! ^= 0x10
      const { changes } = recordsIn(wrong)
      assert.ok(changes.length < 2, `a wrong byte at ${at}`)
      for (const change of changes) assert.deepEqual('topic' in change && change.topic, { name: 'a', run: '' })
    }
  })

  it('that is none is left alone', async () => {
    const path = file()
    writeFileSync(path, 'a precious text that is longer than the header')
    await assert.rejects(Journal.open(path), /is not a journal of this version/)
    assert.match(readFileSync(path, 'utf8'), /precious/)
  })

  it('that has grown is written anew, and says the same', async () => {
    const path = file()
    const { journal } = await Journal.open(path)
    const store = new Store(LIMITS, journal)
    journal.of(() => store.changes())
    const long = JSON.stringify('x'.repeat(8_000))
    for (let i = 0; i < 400; i++) {
      await store.mark({ name: `n${i % 10}`, run: '' }, { ...mark, id: `${i}`, reason: long }, 1e9)
      if (i < 390) await store.forget({ name: `n${i % 10}`, run: '' })
    }
    const outcome = await store.acquire({ name: 'lease', run: '' }, 'me', 60_000)
    await journal.close()
    assert.ok(statSync(path).size < 2_500_000, `it has ${statSync(path).size} bytes`)
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.new')),
      [],
    )
    const again = new Store(LIMITS, undefined, await read(path))
    assert.equal(again.list({ prefix: 'n' }).filter(({ mark }) => mark).length, 10)
    assert.equal(
      outcome.held && again.read([{ name: 'lease', run: '' }])[0]?.lease?.fence,
      outcome.held && outcome.fence,
    )
    store.close()
    again.close()
  })

  it('survives a crash while it is written anew', async () => {
    const path = file()
    await written(path, [changeOf('a')])
    writeFileSync(`${path}.new`, 'half of')
    assert.equal((await read(path)).length, 1)
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.new')),
      [],
    )
  })
})

describe('what is replayed', () => {
  it('leads to the same state, and its fewest changes do, too', async () => {
    const changes: Change[] = []
    const recorder = {
      append: (change: Change) => {
        changes.push(change)
        return Promise.resolve()
      },
    }
    const store = new Store(LIMITS, recorder)
    const topic = (name: string) => ({ name, run: '' })
    await store.mark(topic('a'), mark, 1e9)
    const taken = { ...mark, id: 'taken back' }
    await store.mark(topic('b'), taken, 1e9)
    await store.forget(topic('b'))
    const lost = await store.acquire(topic('lost'), 'x', 5)
    assert.ok(lost.held)
    while (store.renew(topic('lost'), lost.fence) || store.read([topic('lost')])[0]?.lease?.left !== 0) {
      await new Promise((resolve) => void setTimeout(resolve, 10))
    }
    const again = await store.acquire(topic('lost'), 'y', 60_000)
    assert.ok(again.held && again.fence > lost.fence)
    await store.release(topic('lost'), again.fence)
    const held = await store.acquire(topic('held'), 'z', 60_000)
    assert.ok(held.held && held.fence > again.fence)
    const free = await store.acquire(topic('free'), 'z', 60_000)
    await store.release(topic('free'), free.held ? free.fence : 0)

    const shape = (of: InstanceType<typeof Store>) =>
      new Map(
        of
          .list({ prefix: '' })
          .map(({ topic, mark, lease }) => [
            topic.name,
            { reason: mark?.reason, fence: lease?.fence, lost: lease?.lost, held: (lease?.left ?? 0) > 0 },
          ]),
      )
    const replayed = new Store(LIMITS, undefined, changes)
    const compacted = new Store(LIMITS, undefined, replayed.changes())
    assert.deepEqual(shape(replayed), shape(store))
    assert.deepEqual(shape(compacted), shape(store))
    assert.deepEqual([...shape(store).keys()], ['a', 'lost', 'held'])
    for (const one of [store, replayed, compacted]) {
      await one.mark(topic('b'), taken, 1e9)
      assert.equal(one.read([topic('b')])[0]?.mark, undefined, 'what was forgotten stays forgotten')
    }
    const next = await compacted.acquire(topic('next'), 'z', 60_000)
    assert.ok(next.held && next.fence > held.fence, 'a fence goes up over all lives')
    for (const one of [store, replayed, compacted]) one.close()
  })
})
