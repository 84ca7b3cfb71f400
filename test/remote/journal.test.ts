/** The journal: what it has acknowledged is there after a crash, whatever else is at its end. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { TokenServer } from 'calloff/remote'
import { manualClock } from 'calloff/testing'
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

describe('the lock of a journal', () => {
  const ownerOf = (path: string) => JSON.parse(readFileSync(`${path}.lock`, 'utf8')) as { pid: number; host: string }

  it('keeps a second server out, and says whose it is', async () => {
    const path = file()
    await using server = await TokenServer.listen({ port: 0, journal: path })
    const refused = {
      code: 'ERR_HUB_JOURNAL',
      message: new RegExp(`${path} is that of a server in process ${process.pid} `),
    }
    await assert.rejects(TokenServer.listen({ port: 0, journal: path }), refused)
    await assert.rejects(TokenServer.listen({ port: 0, journal: path }), refused)
    await server.close()
    assert.ok(!existsSync(`${path}.lock`), 'it is taken away')
    await (await TokenServer.listen({ port: 0, journal: path })).close()
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.includes('.lock')),
      [],
    )
  })

  it('of a process that has died is taken over, by one of those that try', async () => {
    const path = file()
    const writer = write(path)
    await until(() => writer.stored > 0)
    await assert.rejects(Journal.open(path), {
      code: 'ERR_HUB_JOURNAL',
      message: new RegExp(`process ${writer.child.pid} `),
    })
    await writer.kill()
    assert.equal(ownerOf(path).pid, writer.child.pid)
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => Journal.open(path)))
    const opened = tries.filter((one) => one.status === 'fulfilled')
    assert.equal(opened.length, 1)
    for (const { value } of opened) await value.journal.close()
  })

  it('of one that has died is never taken by two, however they fall over each other', async () => {
    const dead = JSON.stringify({ pid: 2 ** 22 - 1, host: hostname(), began: 'once', id: 'gone' })
    for (let round = 0; round < 50; round++) {
      const path = file()
      writeFileSync(`${path}.lock`, dead)
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => Journal.open(path)))
      const opened = tries.filter((one) => one.status === 'fulfilled')
      for (const { value } of opened) await value.journal.close()
      assert.equal(opened.length, 1)
    }
  })

  it('of another process that has got the same number is no obstacle', async () => {
    const path = file()
    const { journal } = await Journal.open(path)
    const found = ownerOf(path)
    await journal.close()
    // This very process, in an earlier life; and one that lives, but began at another time.
    writeFileSync(`${path}.lock`, JSON.stringify({ ...found, id: 'earlier' }))
    await read(path)
    if (process.platform !== 'linux') return
    writeFileSync(`${path}.lock`, JSON.stringify({ ...found, pid: process.ppid, began: 'at another time' }))
    await read(path)
  })

  it('of another machine, or that cannot be read, holds as long as it is touched', async () => {
    using clock = manualClock()
    for (const text of ['{"pid":1,"host":"elsewhere","began":"","id":"a"}', '', 'null']) {
      const path = file()
      let isTouched = true
      const open = async () => {
        let isOver = false
        const opening = Journal.open(path).finally(() => (isOver = true))
        opening.catch(() => {})
        for (let time = 1_000; !isOver; time++) {
          if (isTouched && existsSync(`${path}.lock`)) utimesSync(`${path}.lock`, time, time)
          await delay(5)
          await clock.advance(500)
        }
        return opening
      }
      writeFileSync(`${path}.lock`, text)
      await assert.rejects(open(), { code: 'ERR_HUB_JOURNAL' })
      isTouched = false
      const { journal } = await open()
      await journal.close()
    }
  })

  it('that somebody else has taken over ends the server: it acknowledges nothing more', async () => {
    using clock = manualClock()
    const path = file()
    const { journal } = await Journal.open(path)
    await journal.append(changeOf('a'))
    writeFileSync(`${path}.lock`, '{"pid":1,"host":"elsewhere","began":"","id":"a"}')
    let failure: Error | undefined
    journal.onFailure = (error) => (failure = error)
    while (!failure) {
      await delay(5)
      await clock.advance(500)
    }
    assert.match(failure.message, /somebody else's/)
    await assert.rejects(journal.append(changeOf('b')), { code: 'ERR_HUB_JOURNAL' })
    await journal.close()
    assert.match(readFileSync(`${path}.lock`, 'utf8'), /elsewhere/)
  })
})

describe('a process that writes a journal', { skip: process.platform === 'win32' && 'Windows has no signals' }, () => {
  it('and is killed, wherever it is, has stored what it had acknowledged, and forgotten nothing anew', async () => {
    const path = file()
    let written = 0
    for (let round = 0; round < 8; round++) {
      const writer = write(path)
      await until(() => writer.stored > 0)
      // In the middle of an append as a rule, or while all is written anew.
      await delay(20 + 40 * round)
      await writer.kill()
      const store = new Store(LIMITS, undefined, await read(path))
      const { stored, base } = writer
      assert.ok(base >= written, 'what was there before is there still')
      written = stored
      for (let i = Math.max(base, stored - 9); i <= stored; i++) {
        assert.ok(store.read([{ name: `n${i}`, run: '' }])[0]?.mark, `n${i} of ${stored} was acknowledged`)
      }
      for (let i = base; i < stored - 20; i++) {
        assert.equal(store.read([{ name: `n${i}`, run: '' }])[0]?.mark, undefined, `n${i} was forgotten`)
      }
      store.close()
    }
  })

  it('onto a disk that is full acknowledges nothing that is not stored, says so, and goes on when there is room', async () => {
    const path = file()
    const writer = write(path, 400)
    await until(() => writer.child.exitCode !== null)
    assert.match(writer.errors, /ERR_HUB_JOURNAL/)
    assert.match(writer.errors, /the journal cannot be written: (EFBIG|ENOSPC)/)
    assert.ok(writer.stored > 5, `${writer.stored} were stored`)
    const changes = await read(path)
    const names = new Set(changes.map((change) => 'topic' in change && change.topic.name))
    for (let i = 1; i <= writer.stored; i++) assert.ok(names.has(`n${i}`), `n${i} was acknowledged`)
    await written(path, [changeOf('more')])
    assert.equal((await read(path)).length, changes.length + 1)
  })
})

/** A process that stores marks in a journal, and says so; with `most`, on a disk that takes so many blocks of 512 bytes. */
function write(path: string, most?: number) {
  const program = [process.execPath, fileURLToPath(new URL('journal.child.js', import.meta.url)), path]
  const limited = ['sh', '-c', `trap '' XFSZ; ulimit -f ${most}; exec "$@"`, 'sh', ...program]
  const [command, ...rest] = most === undefined ? program : limited
  const child: ChildProcess = spawn(command as string, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
  const writer = {
    child,
    /** The last number that was said to be stored; and the first one. */
    stored: 0,
    base: 0,
    errors: '',
    async kill() {
      const gone = once(child, 'close')
      child.kill('SIGKILL')
      await gone
    },
  }
  let partial = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (partial + text).split('\n')
    partial = lines.pop() as string
    for (const line of lines) {
      writer.stored = Number(line)
      writer.base ||= writer.stored
    }
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (writer.errors += text))
  return writer
}

async function until(isSo: () => boolean): Promise<void> {
  const began = performance.now()
  while (!isSo()) {
    assert.ok(performance.now() - began < 30_000, 'in time')
    await delay(2)
  }
}

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
