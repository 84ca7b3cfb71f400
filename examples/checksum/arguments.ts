import { parseArgs } from 'node:util'
import { parseCount, parseDuration } from './units.js'

export const usage = `Usage: npm start -- [folder …] [options]

Hashes every file in the folders (this project's node_modules, if none is given) with SHA-256
and writes a manifest that "sha256sum --check" reads.

  --for 2s          stop after a time: 500ms, 2s, 1m30s, 1h
  --files 1000      stop after a number of files
  --stop-file PATH  stop as soon as this file exists
  --manifest PATH   where to write; checksums.txt in the current folder, if not given
  --help            show this

Ctrl+C and SIGTERM stop it as well, a second one at once. A run that is cancelled leaves nothing behind.

Exit codes: 0 done; 1 done, but not everything could be read (or the manifest not written); 2 wrong usage;
124 cancelled by --for, --files or --stop-file; 130 by Ctrl+C; 143 by SIGTERM.
`

/** What the command line asks for; what is left out was not given. */
export interface Arguments {
  readonly folders: readonly string[]
  /** In milliseconds. */
  readonly time: number | undefined
  readonly files: number | undefined
  readonly stopFile: string | undefined
  readonly manifest: string
  readonly help: boolean
}

/** The command line is wrong; the message is one line. */
export class UsageError extends Error {}

export function readArguments(args: readonly string[]): Arguments {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        for: { type: 'string' },
        files: { type: 'string' },
        'stop-file': { type: 'string' },
        manifest: { type: 'string', default: 'checksums.txt' },
        help: { type: 'boolean', default: false },
      },
    })
    return {
      folders: positionals,
      time: values.for === undefined ? undefined : parseDuration('--for', values.for),
      files: values.files === undefined ? undefined : parseCount('--files', values.files),
      stopFile: values['stop-file'],
      manifest: values.manifest,
      help: values.help,
    }
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split(/\. |\.?\n/)
    throw new UsageError(`${sentence}; --help shows what there is`, { cause: error })
  }
}
