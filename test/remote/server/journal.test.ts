/** The journal: what it has acknowledged is there after a crash, whatever else is at its end. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { TokenServer } from 'calloff/remote'
import { manualClock } from 'calloff/testing'
import { sample, share } from '../../effort.js'
import { type Change, Journal, recordsIn, Store } from '../inside.js'
import { runs } from '../../property/runs.js'

const folder = mkdtempSync(join(tmpdir(), 'calloff-journal-'))
after(() => rmSync(folder, { recursive: true, force: true }))

let names = 0
const file = () => join(folder, `journal-${++names}`)

const mark = { id: 'a', kind: 'manual', reason: '"stop"', host: 'h', pid: 1, token: '', what: 'was cancelled', at: 0 }
const changeOf = (name: string, reason = mark.reason): Change => ({
  type: 'mark',
  topic: { name, runId: '' },
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

const HEADER = 'calloff journal 1\n'.length
const at = (name: string) => Number(name.slice(1))
const nextTurn = () => new Promise((resolve) => void setImmediate(resolve))

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
    const ends = Array.from({ length: whole.length + 1 }, (_, i) => whole.length - i)
    for (const end of sample(ends).toReversed()) {
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

  /** What is in the journal, whether or not a server may begin with it; and whether something was said. */
  async function recovered(path: string): Promise<{ names: string[]; warnings: string[]; kept: string[] }> {
    const warnings: string[] = []
    const hear = (warning: Error & { code?: string }) => {
      if (warning.code === 'CALLOFF_JOURNAL_DAMAGED' && warning.message.includes(`${path} `))
        warnings.push(warning.message)
    }
    process.on('warning', hear)
    const changes = await read(path)
    await nextTurn()
    process.off('warning', hear)
    const names = changes.map((change) => ('topic' in change ? change.topic.name : ''))
    const kept = readdirSync(folder).filter((name) => name.startsWith(`${basename(path)}.damaged-`))
    return { names, warnings, kept }
  }

  it('that is damaged anywhere keeps all whole records, and the damage as it was, and says so', async () => {
    const names = Array.from({ length: 8 }, (_, at) => `n${at}`)
    const sound = file()
    for (const name of names) await written(sound, [changeOf(name, JSON.stringify(name.repeat(at(name) * 9)))])
    const whole = readFileSync(sound)
    /** Where each record is. */
    const places: { name: string; from: number; to: number }[] = []
    for (let from = HEADER; from < whole.length;) {
      const to = from + 12 + whole.readUInt32BE(from)
      places.push({ name: names[places.length] as string, from, to })
      from = to
    }
    assert.equal(places.length, names.length)
    const place = fc.integer({ min: HEADER, max: whole.length - 1 })
    const damages = fc.oneof(
      fc.record({ what: fc.constant('flip' as const), from: place, bit: fc.integer({ min: 0, max: 7 }) }),
      fc.record({ what: fc.constant('cut' as const), from: place, length: fc.integer({ min: 1, max: 600 }) }),
      fc.record({
        what: fc.constant('garbage' as const),
        from: place,
        bytes: fc.uint8Array({ minLength: 1, maxLength: 600 }),
      }),
      fc.record({ what: fc.constant('zeros' as const), from: place, length: fc.integer({ min: 1, max: 600 }) }),
      fc.record({ what: fc.constant('end' as const), from: place }),
    )
    await fc.assert(
      fc.asyncProperty(damages, async (damage) => {
        const { from } = damage
        let wrong = Buffer.from(whole)
        let to = from + 1
        if (damage.what === 'flip') wrong[from]! ^= 1 << damage.bit
        if (damage.what === 'garbage') {
          to = from
          wrong = Buffer.concat([whole.subarray(0, from), damage.bytes, whole.subarray(from)])
        }
        if (damage.what === 'cut' || damage.what === 'zeros') {
          to = Math.min(whole.length, from + damage.length)
          const between = damage.what === 'cut' ? [] : [Buffer.alloc(to - from)]
          wrong = Buffer.concat([whole.subarray(0, from), ...between, whole.subarray(to)])
        }
        if (damage.what === 'end') {
          to = whole.length
          wrong = whole.subarray(0, from)
        }
        const path = file()
        writeFileSync(path, wrong)
        const touched = (one: { from: number; to: number }) =>
          damage.what === 'garbage' ? one.from < from && from < one.to : one.from < to && from < one.to
        const expected = places.filter((one) => !touched(one)).map(({ name }) => name)
        const found = await recovered(path)
        assert.deepEqual(
          found.names.filter((name) => expected.includes(name)),
          expected,
        )
        if (found.names.length === names.length && wrong.length === whole.length) return // zeros where zeros were
        const isCutAtARecord = ['cut', 'end'].includes(damage.what) && recordsIn(wrong).damaged === 0
        assert.equal(found.warnings.length, isCutAtARecord ? 0 : 1)
        assert.equal(found.kept.length, isCutAtARecord ? 0 : 1)
        for (const name of found.kept) assert.deepEqual(readFileSync(join(folder, name)), wrong)
        // And the next server finds it sound.
        assert.deepEqual(await recovered(path), { names: found.names, warnings: [], kept: found.kept })
      }),
      runs(200),
    )
  })

  it('that is none is left alone', async () => {
    const path = file()
    writeFileSync(path, 'a precious text that is longer than the header')
    await assert.rejects(Journal.open(path), /is not a journal that this version of calloff can read/)
    assert.match(readFileSync(path, 'utf8'), /precious/)
  })

  it('whose folder does not exist, or that is a folder, is refused by its name', async () => {
    const path = join(file(), 'journal')
    const refused = (message: string) => ({ name: 'HubError', code: 'ERR_HUB_REFUSED', message })
    await assert.rejects(
      Journal.open(path),
      refused(`the folder of the journal ${path} does not exist: ${dirname(path)}`),
    )
    mkdirSync(path, { recursive: true })
    await assert.rejects(Journal.open(path), refused(`the journal ${path} is a folder, not a file`))
    assert.deepEqual(readdirSync(dirname(path)), ['journal'])
  })

  it('that has grown is written anew, and says the same', async () => {
    const path = file()
    const { journal } = await Journal.open(path)
    const store = new Store(LIMITS, journal)
    journal.of(() => store.changes())
    const long = JSON.stringify('x'.repeat(8_000))
    for (let i = 0; i < 400; i++) {
      await store.mark({ name: `n${i % 10}`, runId: '' }, { ...mark, id: `${i}`, reason: long }, 1e9)
      if (i < 390) await store.forget({ name: `n${i % 10}`, runId: '' })
    }
    const outcome = await store.acquire({ name: 'lease', runId: '' }, 'me', 60_000)
    await journal.close()
    assert.ok(statSync(path).size < 2_500_000, `it has ${statSync(path).size} bytes`)
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.new')),
      [],
    )
    const again = new Store(LIMITS, undefined, await read(path))
    assert.equal(again.list({ prefix: 'n' }).filter(({ mark }) => mark).length, 10)
    assert.equal(
      outcome.held && again.read([{ name: 'lease', runId: '' }])[0]?.lease?.fence,
      outcome.held && outcome.fence,
    )
    store.close()
    again.close()
  })

  it('that is written anew while its topics change leads to the same state', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    const topic = fc.constantFrom(...names)
    const step = fc.oneof(
      fc.record({ what: fc.constantFrom('mark', 'forget', 'acquire', 'release') as fc.Arbitrary<string>, name: topic }),
      fc.record({ what: fc.constant('take'), name: topic }),
    )
    using clock = manualClock()
    assert.ok(clock)
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), fc.array(step, { maxLength: 40 }), (before, during) => {
        const store = new Store(LIMITS)
        let ids = 0
        const apply = ({ what, name }: { what: string; name: string }) => {
          const topic = { name, runId: '' }
          if (what === 'mark') void store.mark(topic, { ...mark, id: `${++ids}` }, 1e6)
          if (what === 'forget') void store.forget(topic)
          if (what === 'acquire') void store.acquire(topic, `o${++ids}`, 1e6)
          const fence = store.read([topic])[0]?.lease?.fence
          if (what === 'release' && fence !== undefined) void store.release(topic, fence)
        }
        before.forEach(apply)
        const snapshot = store.changes()
        const changes: Change[] = []
        const source = snapshot[Symbol.iterator]()
        for (const one of during) {
          if (one.what !== 'take') apply(one)
          else {
            const { value, done } = source.next()
            if (done !== true) changes.push(value)
          }
        }
        changes.push(...{ [Symbol.iterator]: () => source }, ...snapshot.end())
        const again = new Store(LIMITS, undefined, JSON.parse(JSON.stringify(changes)) as Change[])
        const topics = names.map((name) => ({ name, runId: '' }))
        const stateOf = (one: typeof store) =>
          one.read(topics).map(({ mark, lease }) => ({
            mark: mark?.id,
            fence: lease?.fence,
            held: (lease?.left ?? 0) > 0,
            lost: lease?.lost,
          }))
        assert.deepEqual(stateOf(again), stateOf(store))
        // What was forgotten stays so, and what stands can be forgotten.
        for (let id = 1; id <= ids; id++) {
          for (const topic of topics) {
            const [stood] = store.read([topic])
            const [stands] = again.read([topic])
            void store.mark(topic, { ...mark, id: `${id}` }, 1e6)
            void again.mark(topic, { ...mark, id: `${id}` }, 1e6)
            assert.deepEqual(
              stateOf(again),
              stateOf(store),
              `mark ${id} offered again: ${String(stood?.mark?.id ?? stands?.mark?.id)}`,
            )
          }
        }
        store.close()
        again.close()
      }),
      runs(500),
    )
  })

  it('that has grown in an earlier life is written anew by the next server, while no client waits', async () => {
    const path = file()
    const reason = JSON.stringify('x'.repeat(8_000))
    const many = Array.from({ length: 400 }, (_, at) => changeOf('one', reason.replace('x', `${at % 10}`)))
    await written(path, many)
    const before = statSync(path).size
    const { journal, changes } = await Journal.open(path)
    const store = new Store(LIMITS, journal, changes)
    journal.of(() => store.changes())
    while (statSync(path).size >= before)
      await store.mark({ name: `n${Math.random()}`, runId: '' }, { ...mark, id: '' }, 1e9)
    await journal.close()
    assert.ok(statSync(path).size < before / 10)
    const again = new Store(LIMITS, undefined, await read(path))
    assert.deepEqual(
      again
        .list({})
        .map(({ topic }) => topic.name)
        .toSorted(),
      store
        .list({})
        .map(({ topic }) => topic.name)
        .toSorted(),
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
      message: new RegExp(`${path} is in use by process ${process.pid} `),
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
    for (let round = 0; round < share(50); round++) {
      const path = file()
      writeFileSync(`${path}.lock`, dead)
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => Journal.open(path)))
      const opened = tries.filter((one) => one.status === 'fulfilled')
      for (const { value } of opened) await value.journal.close()
      assert.equal(opened.length, 1)
    }
  })

  it('is the same for a server in another thread, with another view of the process ids, or that is stopped', async () => {
    const path = file()
    const program = `import { workerData, parentPort } from 'node:worker_threads'
      const { TokenServer } = await import(workerData.remote)
      const outcome = await TokenServer.listen({ port: 0, journal: workerData.path }).then(
        (server) => server.close().then(() => 'taken'),
        ({ code }) => code,
      )
      parentPort.postMessage(outcome)`
    const remote = import.meta.resolve('calloff/remote')
    const inAThread = async () => {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`), {
        workerData: { path, remote },
      })
      const [outcome] = (await once(worker, 'message')) as [string]
      await worker.terminate()
      return outcome
    }
    const { journal } = await Journal.open(path)
    assert.equal(await inAThread(), 'ERR_HUB_JOURNAL')
    // As another container would write it, that is called the same and counts its processes from 1.
    writeFileSync(`${path}.lock`, JSON.stringify({ ...ownerOf(path), pid: 1, id: 'other' }))
    assert.equal(await inAThread(), 'ERR_HUB_JOURNAL')
    await journal.close()
    rmSync(`${path}.lock`)
    assert.equal(await inAThread(), 'taken')
    if (process.platform === 'win32') return
    const writer = write(path)
    await until(() => writer.stored > 0)
    writer.child.kill('SIGSTOP')
    await assert.rejects(Journal.open(path), { code: 'ERR_HUB_JOURNAL' })
    writer.child.kill('SIGCONT')
    const before = writer.stored
    await until(() => writer.stored > before + 2)
    await writer.kill()
    assert.equal(await inAThread(), 'taken')
  })

  it(
    'of a process that is dead and was not waited for is taken',
    { skip: process.platform !== 'linux' && 'needs /proc' },
    async () => {
      const path = file()
      // The shell never waits for its child, which stays in the table of processes.
      const child = fileURLToPath(new URL('journal.child.js', import.meta.url))
      const shell = spawn('sh', ['-c', `"$0" "$1" "$2" & echo $! >&2; exec sleep 600`, process.execPath, child, path], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      try {
        const [pid] = (await once(shell.stderr, 'data')) as [Buffer]
        await once(shell.stdout, 'data')
        process.kill(Number(pid), 'SIGKILL')
        await until(() => readFileSync(`/proc/${Number(pid)}/stat`, 'latin1').includes(') Z '))
        const { journal } = await Journal.open(path)
        await journal.close()
      } finally {
        shell.kill('SIGKILL')
      }
    },
  )

  it('that was taken over while the owner slept keeps the owner from acknowledging, and from touching the new file', async () => {
    const path = file()
    const old = await Journal.open(path)
    await old.journal.append(changeOf('a'))
    // On another machine: it does not see the socket here.
    for (const name of readdirSync(folder)) if (name.startsWith(`${basename(path)}.lock-`)) rmSync(join(folder, name))
    rmSync(`${path}.lock`)
    const next = await Journal.open(path)
    assert.equal(next.changes.length, 1)
    await next.journal.append(changeOf('b'))
    const failed = new Promise((resolve) => (old.journal.onFailure = resolve))
    await assert.rejects(old.journal.append(changeOf('c')), { code: 'ERR_HUB_JOURNAL' })
    await failed
    await next.journal.append(changeOf('d'))
    await old.journal.close()
    await next.journal.close()
    const names = (await read(path)).map((change) => 'topic' in change && change.topic.name)
    assert.deepEqual(names, ['a', 'b', 'd'])
  })

  it('has a socket by a short way, however deep the journal is', async () => {
    const deep = join(folder, 'a'.repeat(80), 'b'.repeat(80))
    mkdirSync(deep, { recursive: true })
    const path = join(deep, 'journal')
    const { journal } = await Journal.open(path)
    await assert.rejects(Journal.open(path), { code: 'ERR_HUB_JOURNAL' })
    await journal.close()
    assert.deepEqual(readdirSync(deep), ['journal'])
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

  it('that another server has taken over ends the server: it acknowledges nothing more', async () => {
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
    assert.match(failure.message, /another server has taken the lock/)
    await assert.rejects(journal.append(changeOf('b')), { code: 'ERR_HUB_JOURNAL' })
    await journal.close()
    assert.match(readFileSync(`${path}.lock`, 'utf8'), /elsewhere/)
  })
})

describe('a process that writes a journal', { skip: process.platform === 'win32' && 'Windows has no signals' }, () => {
  it('and is killed, wherever it is, has stored what it had acknowledged, and forgotten nothing anew', async () => {
    const path = file()
    let written = 0
    for (let round = 0; round < share(8, 3); round++) {
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
        assert.ok(store.read([{ name: `n${i}`, runId: '' }])[0]?.mark, `n${i} of ${stored} was acknowledged`)
      }
      for (let i = base; i < stored - 20; i++) {
        assert.equal(store.read([{ name: `n${i}`, runId: '' }])[0]?.mark, undefined, `n${i} was forgotten`)
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
    assert.ok(performance.now() - began < 120_000, 'in time')
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
    const topic = (name: string) => ({ name, runId: '' })
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
