/**
 * As process 1, in a container, a program becomes the parent of all processes whose parent has ended. It must wait for
 * them, or else they stay as zombies. Node can wait for its own children only. So a shell becomes process 1. It waits
 * for all processes, passes signals on, and runs this program once more.
 */
import { existsSync } from 'node:fs'
import process from 'node:process'

const SHELL = '/bin/sh'

/** A terminal sends its signals to all processes itself, so these are passed on only without a terminal. */
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

/** `process.execve`, in Node 22.15 and newer. */
type Exec = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never

/**
 * Makes a shell process 1 in place of this program, if this program is process 1 and the platform can do that.
 * Otherwise returns.
 */
export function leaveFirstPlace(): void {
  const { execve } = process as { execve?: Exec }
  if (process.pid !== 1 || execve === undefined || !existsSync(SHELL)) return
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  execve(SHELL, [SHELL, '-c', SCRIPT, 'calloff', ...self], process.env)
}
