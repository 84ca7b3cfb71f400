// A folder for sockets and journals, which goes with the process at the latest.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export class Folder {
  #path = mkdtempSync(join(tmpdir(), 'calloff-bench-'))

  constructor() {
    process.once('exit', () => this.end())
  }

  file(name) {
    return join(this.#path, name)
  }

  end() {
    rmSync(this.#path, { recursive: true, force: true })
  }
}
