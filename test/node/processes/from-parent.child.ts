/** A program that has its parent's token, and says on its standard output what becomes of it. */
import { writeSync } from 'node:fs'
import process from 'node:process'
import { type CancellationToken, SimpleToken } from 'calloff'
import { fromParent, run, spawn } from 'calloff/node'

const [, file = '', how = 'wait', name = ''] = process.argv

/** How this runtime runs a program. */
const before = 'Deno' in globalThis ? ['run', '--allow-all', '--no-check', '--no-lock', '--quiet'] : []

/** At once: a loop that never yields is to be heard, too. */
function say(text: string): void {
  writeSync(1, `${text}\n`)
}

function tell({ error }: CancellationToken): void {
  const { kind, message, cause, token } = error ?? {}
  const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : cause
  say(JSON.stringify({ kind, message, reason, name: token?.name }))
}

/** Lends a token to the same program, and waits to be killed. */
if (how === 'lender') {
  await run(process.execPath, [...before, file, name || 'wait'], {
    lend: true,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
}

if (how === 'worker') {
  const told = (error: Error & { code?: string }) => `${error.code} ${error.message}`
  const program = (text: string) => new URL(`data:text/javascript,${encodeURIComponent(text)}`)
  for (const worker of [
    new URL('no-such-program.mjs', import.meta.url),
    program('1'),
    program('throw new Error("x")'),
  ]) {
    say(await fromParent({ background: true, worker }).then(() => 'none', told))
  }
  say(await fromParent({ worker: 'x.js' }).then(() => 'none', told))
  say(await fromParent({ background: true, worker: 7 as never }).then(() => 'none', told))
}

const worker = how === 'worker' ? new URL(import.meta.resolve('calloff/node/worker')) : undefined
const token = await fromParent({ background: how.startsWith('busy') || how === 'worker', worker })
switch (how) {
  case 'wait':
  case 'worker':
    say(token.cancelled ? 'over' : 'ready')
    await token.wait()
    tell(token)
    break
  // Never yields.
  case 'busy': {
    say(token.cancelled ? 'over' : 'ready')
    for (;;) if (token.cancelled) break
    tell(token)
    break
  }
  case 'busy-sleep':
    say('ready')
    token.waitSync()
    tell(token)
    break
  case 'busy-leave':
    say('ready')
    token.onCancel(() => say('never'))
    break
  // Is kept alive by nothing.
  case 'leave':
    say('ready')
    token.onCancel(() => say('never'))
    break
  // Takes its time to finish.
  case 'finish':
    say('ready')
    await token.wait()
    await new Promise((resolve) => setTimeout(resolve, 150))
    say('finished')
    break
  case 'cancel':
    token.cancel('by the child')
    tell(token)
    break
  // Says how much is left, whenever a line is read.
  case 'remaining': {
    say(String(token.remaining))
    process.stdin.on('data', () => say(String(token.remaining)))
    await token.wait()
    tell(token)
    process.exit() // Deno's input holds it
  }
  // Starts the same program in its turn, under a token of its own, which it cancels.
  case 'nested': {
    const own = new SimpleToken({ name })
    const child = await spawn(process.execPath, [...before, file], {
      token: own,
      lend: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      say(text.trimEnd())
      own.cancel('by its own parent')
    })
    await child.ended
    say(`above: ${token.cancelled}`)
    break
  }
}
