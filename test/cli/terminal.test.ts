import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { describe, it } from 'node:test'
import { withTime } from '../enough-time.js'
import { User } from './calloff.js'
import { found, skipWithout } from '../remote/servers.js'
import { skip, Terminal } from './terminal.js'

/** A program that hears signals, counts them, and ends when it is told how. */
function listener(user: User): string {
  const file = join(user.folder, 'listener.mjs')
  writeFileSync(
    file,
    `const counts = {}
     const hear = (signal) => {
       console.log(signal, (counts[signal] = (counts[signal] ?? 0) + 1))
       if (process.argv[2] === 'ends') setTimeout(() => { console.log('ended in peace'); process.exit(0) }, 300)
     }
     for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, hear)
     setInterval(() => {}, 1000)
     console.log('listening')`,
  )
  return `"${process.execPath}" ${file}`
}

/** Waits for what is said at the end, and asks the shell for the exit code: it does not go on by itself after Ctrl+C. */
async function end(terminal: Terminal): Promise<string> {
  await terminal.shows(/cancelled by SIGINT.*\n(.*\n)*\$$/)
  terminal.type('echo "code $?"')
  return terminal.shows(/^code \d+$/m)
}

describe('calloff in a terminal', { skip, concurrency: 3 }, () => {
  it('Ctrl+C reaches the command once, and lets it end in peace', async () => {
    const user = new User()
    using terminal = new Terminal(user)
    terminal.type(`calloff run --grace 10m -- ${listener(user)} ends`)
    await terminal.shows(/^listening$/m)
    terminal.press('C-c')
    const screen = await end(terminal)
    assert.match(screen, /SIGINT 1\n/)
    assert.match(screen, /ended in peace\n/)
    assert.doesNotMatch(screen, /SIGINT 2|SIGTERM/)
    assert.match(screen, /calloff: node was cancelled by SIGINT\n/)
    assert.match(screen, /^code 130$/m)
  })

  it('Ctrl+C lets a program that has the token end in peace, though it hears no signals', async () => {
    const user = new User()
    using terminal = new Terminal(user)
    const file = join(user.folder, 'borrower.mjs')
    writeFileSync(
      file,
      `import { fromParent } from ${JSON.stringify(import.meta.resolve('calloff/node'))}
       const token = await fromParent()
       console.log('borrowed')
       const { kind } = await token.wait()
       setTimeout(() => console.log('in peace, for', kind), 300)`,
    )
    terminal.type(`calloff run --grace 10m -- "${process.execPath}" ${file}`)
    await terminal.shows(/^borrowed$/m)
    terminal.press('C-c')
    const screen = await end(terminal)
    assert.match(screen, /in peace, for process-signal\n/)
    assert.match(screen, /cancelled by SIGINT\n/)
    assert.match(screen, /^code 130$/m)
  })

  it('Ctrl+C twice kills at once', async () => {
    const user = new User()
    using terminal = new Terminal(user)
    terminal.type(`calloff run --grace 10m -- ${listener(user)}`)
    await terminal.shows(/^listening$/m)
    terminal.press('C-c')
    await terminal.shows('SIGINT 1')
    terminal.press('C-c')
    const screen = await end(terminal)
    assert.match(screen, /cancelled by SIGINT; it had to be killed\n/)
    assert.match(screen, /^code 130$/m)
  })

  it('what does not care for Ctrl+C is asked with SIGTERM, and then killed', async () => {
    const user = new User()
    const screen = await withTime(2_000, async (ms) => {
      using terminal = new Terminal(user)
      terminal.type(`calloff run --grace ${ms}ms -- ${listener(user)}`)
      await terminal.shows(/^listening$/m)
      terminal.press('C-c')
      const screen = await end(terminal)
      assert.match(screen, /had to be killed\n/)
      return screen.includes('SIGTERM 1') ? screen : undefined
    })
    assert.match(screen, /SIGINT 1\n(.*\n)*SIGTERM 1\n/)
  })

  it('Ctrl+C ends the loop of a shell, as it does without calloff', async () => {
    using terminal = new Terminal(new User())
    terminal.type(`for n in 1 2 3; do calloff run -- sh -c "echo turn $n; exec sleep 60"; done`)
    await terminal.shows(/^turn 1$/m)
    terminal.press('C-c')
    const screen = await terminal.shows(/cancelled by SIGINT\n(.*\n)*\$$/)
    assert.doesNotMatch(screen, /^turn 2$/m)
  })

  it('a command that an interrupt has ended ends the loop of a shell, as it does without calloff', async () => {
    // The signal has come to the command alone, or is heard of only after its end.
    using terminal = new Terminal(new User())
    for (const before of ['', 'calloff run -- ']) {
      terminal.type(`for n in 1 2 3; do ${before}sh -c "echo ${before && 'again '}turn $n; kill -INT \\$\\$"; done`)
      const screen = await terminal.shows(before ? /^again turn 1\n(.*\n)*\$$/m : /^turn 1\n(.*\n)*\$$/m)
      assert.doesNotMatch(screen, /^(again )?turn 2$/m)
      assert.doesNotMatch(screen, /cancelled/)
    }
  })

  for (const [program, command, shown, leave] of [
    ['python3', 'python3 -q', '>>>', 'exit()\n'],
    ['less', 'less +F text', 'Waiting for data', 'q'],
  ] as const) {
    it(`with --foreground Ctrl+C is a key of ${program}`, { skip: skipWithout(program, found(program)) }, async () => {
      const user = new User()
      writeFileSync(join(user.folder, 'text'), 'some text\n')
      using terminal = new Terminal(user)
      terminal.type(`calloff run --foreground --grace 200ms -- ${command}; echo "code $?"`)
      await terminal.shows(shown)
      for (let turn = 1; turn <= 2; turn++) {
        if (program === 'python3') {
          terminal.type(`print("busy", ${turn}); import time; time.sleep(600)`)
          await terminal.shows(new RegExp(`^busy ${turn}$`, 'm'))
          terminal.press('C-c')
          await terminal.shows(new RegExp(`(KeyboardInterrupt[^]*){${turn}}>>>$`))
          terminal.type(`print("goes on", ${turn})`)
          await terminal.shows(new RegExp(`^goes on ${turn}$`, 'm'))
        } else {
          terminal.press('C-c')
          await terminal.shows(/^(:|\(END\)|text \(END\))$/m)
          terminal.press('F')
          await terminal.shows(shown)
        }
      }
      if (program === 'less') terminal.press('C-c')
      if (program === 'less') await terminal.shows(/^(:|\(END\)|text \(END\))$/m)
      terminal.keys(leave)
      const screen = await terminal.shows(/^code \d+$/m)
      assert.match(screen, /^code 0$/m)
      assert.doesNotMatch(screen, /cancelled/)
    })
  }

  it('with --foreground a command that Ctrl+C has ended ends the loop of a shell, and a timeout cancels', async () => {
    using terminal = new Terminal(new User())
    terminal.type(`for n in 1 2 3; do calloff run -f -- sh -c "echo turn $n; exec sleep 60"; done`)
    await terminal.shows(/^turn 1$/m)
    terminal.press('C-c')
    const screen = await terminal.shows(/^turn 1\n(.*\n)*\$$/m)
    assert.doesNotMatch(screen, /^turn 2$|cancelled/m)
    terminal.type('calloff run -f -t 100ms -- sleep 60; echo "code $?"')
    await terminal.shows(/cancelled after 100ms.*\ncode 124$/m)
  })

  it('the command reads from the terminal, and is stopped and continued with its job', async () => {
    using terminal = new Terminal(new User())
    terminal.type('calloff run -- sh -c \'echo "name?"; read name; echo "hello $name"; cat\'')
    await terminal.shows(/^name\?$/m)
    terminal.type('Ada')
    await terminal.shows(/^hello Ada$/m)
    terminal.press('C-z')
    await terminal.shows(/Stopped/)
    terminal.type('fg')
    await terminal.shows(/ fg\ncalloff run /)
    terminal.type('again')
    await terminal.shows(/^again\n(.*\n)*again$/m)
    terminal.press('C-d')
    await terminal.shows(/^\$$/m)
    terminal.type('echo "code $?"')
    await terminal.shows(/^code 0$/m)
  })

  it('run in one terminal is cancelled from another, which hears that it has ended', async () => {
    const user = new User()
    using here = new Terminal(user)
    using there = new Terminal(new User())
    const hub = `unix:${user.folder}/hub.sock`
    here.type(`calloff run --hub ${hub} --start --name deploy-42 -- sh -c 'echo deploying; sleep 60'; echo "code $?"`)
    await here.shows(/^deploying$/m)
    there.type(`calloff cancel --hub ${hub} deploy-42 --reason 'wrong branch' --wait 20s; echo "code $?"`)
    const receipt = await there.shows(/^code \d+$/m)
    assert.match(receipt, /^deploy-42: cancelled; 1 holder, 1 notified, 1 finished\n(.*\n)*code 0$/m)
    const end = await here.shows(/^code \d+$/m)
    assert.match(end, /^calloff: sh was cancelled as deploy-42 by process \d+ on .+: wrong branch\n(.*\n)*code 125$/m)
  })

  it('watch keeps a table, survives a server that is killed and comes back, and gives the screen back', async () => {
    const user = new User()
    using terminal = new Terminal(user, { columns: 120 })
    const first = await user.serve()
    terminal.type('calloff watch --every 200ms')
    await terminal.shows('no name is open')
    const program = user.start(['run', '--name', 'nightly-1', '--', 'sleep', '60'])
    await terminal.shows(/NAME +STATE +HELD BY +SINCE +WHY\n *nightly-1 +live +\S+:\d+/)
    assert.ok(terminal.colours.includes('\u001B['))
    first.child.kill('SIGKILL')
    await first.ended
    const lost = await terminal.shows(/the hub is lost, waiting for it/)
    assert.match(lost, /nightly-1 +live/)
    await user.serve()
    await terminal.shows(/^\S+ +unix:\S+$/m)
    await user.run('cancel', 'nightly-1', '--reason', 'disk full')
    assert.equal((await program.ended).code, 125)
    await terminal.shows(/nightly-1 +cancelled .* by process \d+ on .+: disk full/)
    terminal.press('C-z')
    await terminal.shows(/^\$ calloff watch[^\n]*\n+\[1\]\+ +Stopped +calloff watch[^\n]*\n\$$/)
    terminal.type('echo still here; bg')
    await terminal.shows(/^still here\n\[1\]\+ calloff watch.*&\n\$$/m)
    terminal.type('fg')
    await terminal.shows(/nightly-1 +cancelled .* by process \d+ on .+: disk full/)
    terminal.resize(60, 10)
    await terminal.shows(/nightly-1 +cancelled .*…$/m)
    terminal.press('C-c')
    await terminal.shows(/^fg\n|\$ fg\n(.*\n)*\$$/)
    terminal.type('echo "code $?"')
    await terminal.shows(/^code 130$/m)
  })

  it('has colours in a terminal, and none with NO_COLOR or in a pipe', async () => {
    using terminal = new Terminal(new User(), { rows: 60 }) // more than the help has lines
    terminal.type('calloff --help | head -3; echo end one')
    await terminal.shows(/^end one$/m)
    assert.ok(!terminal.colours.includes('\u001B[1m'))
    terminal.type('NO_COLOR=1 calloff --help; echo end two')
    await terminal.shows(/^end two$/m)
    assert.ok(!terminal.colours.includes('\u001B[1m'))
    terminal.type('calloff --help; echo end three')
    await terminal.shows(/^end three$/m)
    assert.ok(terminal.colours.includes('\u001B[1m'))
  })
})
