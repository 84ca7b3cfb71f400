import assert from 'node:assert/strict'
import process from 'node:process'
import { describe, it } from 'node:test'
import { node, type Program, runtimes, start } from './programs.js'
import { alive, clear, longTime, sleepers, until } from './processes/tree.js'

const skip = process.platform === 'win32' && 'Windows has no signals that one process sends another'

/** Runs one of the programs; whatever it leaves is ended. */
async function withProgram(
  runtime: (typeof runtimes)[number],
  what: string,
  use: (program: Program, time: string) => Promise<void>,
): Promise<void> {
  const time = longTime()
  try {
    await use(start(runtime, 'our-end.child.js', what, time), time)
  } finally {
    clear(time)
  }
}

const gone = (time: string) => until(() => alive(time).length === 0, 'its children are gone')

describe('when the program ends, its children do', { skip }, () => {
  for (const runtime of runtimes) {
    describe(`on ${runtime.name}`, { skip: runtime.skip }, () => {
      it('by process.exit()', () =>
        withProgram(runtime, 'exit', async (program, time) => {
          assert.equal((await program.ended).code, 5)
          await gone(time)
        }))

      const silent = runtime.name === 'Deno' && 'Deno emits no exit event after an uncaught error'
      it('by an uncaught error', { skip: silent }, () =>
        withProgram(runtime, 'throws', async (program, time) => {
          const { code, errors } = await program.ended
          assert.equal(code, 1)
          assert.match(errors, /mine/)
          await gone(time)
        }),
      )

      it('and are killed if they have been asked before', () =>
        withProgram(runtime, 'exits while it is ending', async (program, time) => {
          assert.equal((await program.ended).code, 6)
          await gone(time)
        }))

      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
        it(`by ${signal}, which has its default action`, () =>
          withProgram(runtime, 'waits', async (program, time) => {
            await program.printed('ready')
            program.send(signal)
            const ended = await program.ended
            assert.deepEqual([ended.code, ended.signal], [null, signal])
            await gone(time)
          }))
      }

      it('not by a signal with a listener', () =>
        withProgram(runtime, 'has a handler of its own', async (program, time) => {
          await program.printed('ready')
          await sleepers(time, 2)
          program.send('SIGINT')
          await program.printed('mine')
          await sleepers(time, 2)
          program.send('SIGINT')
          assert.equal((await program.ended).signal, 'SIGINT')
          await gone(time)
        }))

      it('by the cancellation of a token that listens to the signal', () =>
        withProgram(runtime, 'has a token', async (program, time) => {
          await program.printed('ready')
          await sleepers(time, 2)
          program.send('SIGINT')
          const { code, lines } = await program.ended
          assert.deepEqual([code, lines], [130, ['ready', 'cancelled by SIGINT']])
          await gone(time)
        }))
    })
  }

  it('a second signal has its default action, and reaches those that ignore the first', () =>
    withProgram(node, 'has a token and a stubborn child', async (program, time) => {
      await program.printed('ready')
      await sleepers(time, 1)
      program.send('SIGINT')
      await program.printed('asked')
      program.send('SIGINT')
      assert.equal((await program.ended).signal, 'SIGINT')
      await gone(time)
    }))
})
