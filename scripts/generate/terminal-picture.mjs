import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { root } from '../installed.mjs'

const COLUMNS = 92
const PATIENCE = 30_000
const COLOURS = { 31: '#ff7b72', 32: '#7ee787', 33: '#e3b341', 36: '#79c0ff', 90: '#8b949e' }
const [TEXT, DIM, BACKGROUND, BAR] = ['#e6edf3', '#8b949e', '#0d1117', '#21262d']
const [WIDTH, HEIGHT, MARGIN, HEAD] = [8.4, 19, 14, 28]

class Terminal {
  #socket

  constructor(folder, name, rows, columns = COLUMNS) {
    this.name = name
    this.rows = rows
    this.#socket = join(folder, `${rows}.tmux`)
    const { TMUX: _tmux, NO_COLOR: _none, CALLOFF_HUB: _hub, ...env } = process.env
    const PATH = `${join(folder, 'bin')}:${process.env.PATH}`
    this.#tmux(
      ['-f', '/dev/null', 'new-session', '-d', '-x', `${columns}`, '-y', `${rows}`, 'bash --norc --noprofile'],
      { env: { ...env, PATH, HOME: folder, XDG_RUNTIME_DIR: folder, TERM: 'xterm-256color' }, cwd: folder },
    )
    this.type(`PS1='$ '; HISTFILE=; clear`)
  }

  #tmux(args, options = {}) {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8', ...options })
  }

  type(line) {
    this.#tmux(['send-keys', '-l', `${line}\n`])
  }

  async shows(text) {
    const limit = performance.now() + PATIENCE
    while (!text.test(this.text.trimEnd())) {
      if (performance.now() > limit) throw new Error(`${this.name} does not show ${text}`)
      await pause(50)
    }
  }

  get text() {
    return this.#tmux(['capture-pane', '-p'])
  }

  /** Its lines, with their colours. */
  get lines() {
    return this.#tmux(['capture-pane', '-p', '-e']).trimEnd().split('\n')
  }

  close() {
    this.#tmux(['kill-server'])
  }
}

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

const STYLE = String.raw`\u001B\[([\d;]*)m`

/** One line of a terminal as pieces of text, each in its colour. */
function piecesOf(line) {
  let style = ''
  return line
    .split(new RegExp(STYLE))
    .map((part, at) => {
      // Text and styles by turns.
      if (at % 2 === 0) return part && `<tspan${style}>${escaped(part)}</tspan>`
      for (const code of part.split(';').map(Number)) {
        if (code === 0 || code === 39 || code === 22) style = ''
        else if (code === 1) style += ' font-weight="bold"'
        else if (code === 2) style += ` fill="${DIM}"`
        else if (COLOURS[code]) style += ` fill="${COLOURS[code]}"`
      }
      return ''
    })
    .join('')
}

function windowOf({ name, lines, rows }, top) {
  const text = lines.map((line, at) => {
    const y = top + HEAD + 22 + at * HEIGHT
    return `<text x="${MARGIN}" y="${y}" xml:space="preserve">${piecesOf(line)}</text>`
  })
  const height = HEAD + rows * HEIGHT + 16
  const width = COLUMNS * WIDTH + 2 * MARGIN
  const drawn = [
    `<rect y="${top}" width="${width}" height="${height}" rx="8" fill="${BACKGROUND}"/>`,
    `<path d="M0 ${top + HEAD}V${top + 8}q0-8 8-8H${width - 8}q8 0 8 8v${HEAD - 8}z" fill="${BAR}"/>`,
    `<text x="${MARGIN}" y="${top + 19}" fill="${DIM}">${name}</text>`,
    ...text,
  ]
  return { drawn, height, width }
}

/** A folder in which `calloff` is a program. */
function newFolder() {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'calloff-picture-')))
  mkdirSync(join(folder, 'bin'))
  const start = `exec '${process.execPath}' '${root}/dist/bin/calloff.js' "$@"`
  writeFileSync(join(folder, 'bin', 'calloff'), `#!/bin/sh\n${start}\n`, { mode: 0o755 })
  return folder
}

/** One picture of windows, one below the other. */
function pictureOf(title, terminals) {
  let top = 0
  const drawn = []
  let width = 0
  for (const terminal of terminals) {
    const window = windowOf(terminal, top)
    drawn.push(...window.drawn)
    top += window.height + 12
    width = window.width
  }
  const size = `width="${width}" height="${top - 12}"`
  const font = 'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14"'
  const start = `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${font} fill="${TEXT}">`
  return [start, `<title>${title}</title>`, ...drawn, '</svg>', ''].join('\n')
}

const HANGING_JOB = `import { scope, SimpleToken } from 'calloff'

const server = new SimpleToken({ name: 'server' })

async function fetchPages() {
  await new Promise(() => {}) // nothing here knows the token
}

async function importAll() {
  await scope(server, async (s) => {
    s.run(fetchPages)
    s.run(async function save(token) {
      await token.sleep(60_000)
    })
  }, { name: 'import' })
}

setInterval(() => {}, 1_000)
setTimeout(() => server.cancel('the user has left'), 100)
await importAll()
`

/**
 * A job that does not stop, and what \`calloff tree\` shows of it, as docs/reference/cli/tree.svg. Needs tmux and the built
 * library. It is what the command has written; only the id of the process, its folder, the ages and the version of Node are
 * always the same.
 */
export async function treePicture() {
  const folder = newFolder()
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules', 'calloff'))
  writeFileSync(join(folder, 'import.mjs'), HANGING_JOB)
  const terminal = new Terminal(folder, 'a job that does not stop', 20, 200)
  try {
    terminal.type('node --import calloff/inspector import.mjs &')
    await terminal.shows(/^\[1\] \d+$/m)
    const pid = /^\[1\] (\d+)$/m.exec(terminal.text)[1]
    for (let shown = ''; !shown.includes('has not stopped'); await pause(100)) {
      const env = { ...process.env, XDG_RUNTIME_DIR: folder }
      const { stdout } = spawnSync(join(folder, 'bin', 'calloff'), ['tree', pid], { encoding: 'utf8', env })
      shown = stdout
    }
    terminal.type('clear')
    await terminal.shows(/^\$$/)
    terminal.type(`calloff tree ${pid}`)
    await terminal.shows(/has not stopped(.*\n)*\$$/)
    const always = (line) =>
      line
        .replaceAll(pid, '4711')
        .replaceAll(folder, '/app')
        .replaceAll(/node \d+\.\d+\.\d+/g, 'node 24.1.0')
        .replaceAll(/cancelled (\S*?)\d+m?s ago/g, 'cancelled 30s ago')
        .replaceAll(/for (\d+m?s)+/g, 'for 42s')
        .replace(/^( *)\d+m?s ago: /, '$130s ago: ')
    const shown = { name: terminal.name, rows: terminal.rows, lines: terminal.lines.map((line) => always(line)) }
    const title = 'calloff tree shows a scope that was cancelled and has not stopped, and its task'
    return [['docs/reference/cli/tree.svg', pictureOf(title, [shown])]]
  } finally {
    // The shell ends its job with it.
    terminal.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Two terminals, in one of which a command runs that is cancelled from the other, as docs/reference/cli/terminal.svg. Needs tmux and the built
 * library. What is to be seen is what the commands have written; only the prompts are made shorter.
 */
export async function terminalPicture() {
  const folder = newFolder()
  writeFileSync(
    join(folder, 'deploy.sh'),
    `#!/bin/sh\nfor step in build upload migrate; do echo "$step …"; sleep 0.4; done\nexec sleep 60\n`,
    { mode: 0o755 },
  )
  const here = new Terminal(folder, 'one terminal', 8)
  const there = new Terminal(folder, 'another one', 6)
  try {
    here.type('calloff run --name deploy-42 --start -- ./deploy.sh')
    await here.shows(/migrate/)
    there.type('calloff ls')
    await there.shows(/deploy-42.*\n\$$/)
    there.type(`calloff cancel deploy-42 --reason 'wrong branch' --wait 10s`)
    await there.shows(/finished\n\$$/)
    await here.shows(/wrong branch\n\$$/)
    here.type('echo $?')
    await here.shows(/125\n\$$/)
    const title = 'A command that runs in one terminal is cancelled from another one'
    return [['docs/reference/cli/terminal.svg', pictureOf(title, [here, there])]]
  } finally {
    here.close()
    there.close()
    // The hub that was started ends by itself when nobody is there; here it is not waited for.
    const own = execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' }).split('\n')
    for (const line of own) {
      if (line.includes(' serve --listen ') && line.includes(folder)) process.kill(Number.parseInt(line, 10))
    }
    rmSync(folder, { recursive: true, force: true })
  }
}
