/** A real terminal, with a shell in it: tmux. Keys are pressed, and what a person would see is read. */
import { execFileSync } from 'node:child_process'
import process from 'node:process'
import { found, skipWithout } from '../remote/servers.js'
import { until, type User } from './calloff.js'
import { join } from 'node:path'

/** Why there is none here, or false. */
export const skip = process.platform === 'win32' ? 'tmux is not for Windows' : skipWithout('tmux', found('tmux'))

export class Terminal implements Disposable {
  readonly #socket: string

  /** A new one, with a shell in which `calloff` is the command line. */
  constructor(user: User, { columns = 100, rows = 30 }: { columns?: number; rows?: number } = {}) {
    this.#socket = join(user.folder, 'tmux')
    const { TMUX: _tmux, ...env } = user.env
    const start = [
      '-f',
      '/dev/null',
      'new-session',
      '-d',
      '-x',
      `${columns}`,
      '-y',
      `${rows}`,
      'bash --norc --noprofile',
    ]
    execFileSync('tmux', ['-S', this.#socket, ...start], { env: { ...env, TERM: 'xterm-256color' }, cwd: user.folder })
    this.#tmux('send-keys', '-l', `PS1='$ '; HISTFILE=; clear\n`)
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  }

  /** Types a line. */
  type(line: string): void {
    this.#tmux('send-keys', '-l', `${line}\n`)
  }

  /** Types what is there, and nothing behind it. */
  keys(text: string): void {
    this.#tmux('send-keys', '-l', text)
  }

  /** Presses a key, as tmux calls it: `C-c`. */
  press(key: string): void {
    this.#tmux('send-keys', key)
  }

  /** What is to be seen, and what has left it at the top. */
  get screen(): string {
    const lines = this.#tmux('capture-pane', '-p', '-J', '-S', '-1000').split('\n')
    return lines
      .map((line) => line.trimEnd())
      .join('\n')
      .trimEnd()
  }

  /** The same with its colours. */
  get colours(): string {
    return this.#tmux('capture-pane', '-p', '-e')
  }

  /** Resolves with the screen when it shows that. */
  async shows(text: string | RegExp): Promise<string> {
    const last = { screen: '' }
    const isShown = () => {
      last.screen = this.screen
      return typeof text === 'string' ? last.screen.includes(text) : text.test(last.screen)
    }
    await until(isShown, `the terminal did not show ${String(text)}`).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}, but\n${last.screen}`)
    })
    return last.screen
  }

  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', `${columns}`, '-y', `${rows}`)
  }

  [Symbol.dispose](): void {
    try {
      this.#tmux('kill-server')
    } catch {
      // Its shell has ended, and it with it.
    }
  }
}
