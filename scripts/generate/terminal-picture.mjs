import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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

  constructor(folder, name, rows) {
    this.name = name
    this.rows = rows
    this.#socket = join(folder, `${rows}.tmux`)
    const { TMUX: _tmux, NO_COLOR: _none, CALLOFF_HUB: _hub, ...env } = process.env
    const PATH = `${join(folder, 'bin')}:${process.env.PATH}`
    this.#tmux(
      ['-f', '/dev/null', 'new-session', '-d', '-x', `${COLUMNS}`, '-y', `${rows}`, 'bash --norc --noprofile'],
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
    while (!text.test(this.#tmux(['capture-pane', '-p']).trimEnd())) {
      if (performance.now() > limit) throw new Error(`${this.name} does not show ${text}`)
      await pause(50)
    }
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

/**
 * Two terminals, in one of which a command runs that is cancelled from the other, as docs/reference/cli/terminal.svg. Needs tmux and the built
 * library. What is to be seen is what the commands have written; only the prompts are made shorter.
 */
export async function terminalPicture() {
  const folder = mkdtempSync(join(tmpdir(), 'calloff-picture-'))
  mkdirSync(join(folder, 'bin'))
  const program = (name, text) => writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  program('calloff', `exec '${process.execPath}' '${root}/dist/bin/calloff.js' "$@"`)
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
    const first = windowOf(here, 0)
    const second = windowOf(there, first.height + 12)
    const size = `width="${first.width}" height="${first.height + 12 + second.height}"`
    const font = 'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14"'
    const title = '<title>A command that runs in one terminal is cancelled from another one</title>'
    const svg = [`<svg xmlns="http://www.w3.org/2000/svg" ${size} ${font} fill="${TEXT}">`, title]
    return [['docs/reference/cli/terminal.svg', [...svg, ...first.drawn, ...second.drawn, '</svg>', ''].join('\n')]]
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
