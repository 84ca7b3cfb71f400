/**
 * As process 1, in a container, a program is given the children of all processes that end before these, and has to wait for them, else they
 * stay as zombies. Node can wait for its own children alone. So a shell becomes process 1, which waits for all, passes signals on, and
 * runs this program once more.
 */
import { existsSync } from 'node:fs'
import process from 'node:process'

const SHELL = '/bin/sh'

/** What a terminal tells, it tells all of us. */
const SCRIPT = `pass() { kill -s "$1" "$child" 2>/dev/null; }
for one in TERM USR1 USR2; do trap "pass $one" $one; done
for one in INT HUP QUIT; do trap "[ -t 0 ] || pass $one" $one; done
"$@" <&0 &
child=$!
while wait "$child"; code=$?; kill -0 "$child" 2>/dev/null; do :; done
wait "$child" 2>/dev/null
last=$?
[ "$last" = 127 ] || code=$last
exit "$code"`

/** Node 22.15 and newer. */
type Exec = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never

/** Hands the place of process 1 to a shell, where this program has it and can. Returns where not. */
export function leaveFirstPlace(): void {
  const { execve } = process as { execve?: Exec }
  if (process.pid !== 1 || execve === undefined || !existsSync(SHELL)) return
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  execve(SHELL, [SHELL, '-c', SCRIPT, 'calloff', ...self], process.env)
}
