/** What a runtime is to the one that runs suites on it, and what comes back from it. */

export interface Case {
  readonly title: string
  readonly state: 'passed' | 'failed' | 'skipped'
  /** Why it was skipped, or what went wrong. */
  readonly detail: string
}

export interface Outcome {
  readonly cases: readonly Case[]
  /** What went wrong outside of the tests: the file did not load, or never ended, or something was thrown later. */
  readonly problem: string | undefined
  readonly output: string
}

/** Numbers of tests. */
export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** How a suite wants to be run. */
export interface Settings {
  /** Garbage collection can be forced, and what disturbs the measuring of memory is left out. */
  readonly collects: boolean
  /** Not run in the browser, but by Node: the test opens pages itself. */
  readonly opensPages?: boolean
  /** Not for the browser: it needs the modules of Node, programs or ports. */
  readonly needsPrograms?: boolean
  /** Milliseconds that one file may take. */
  readonly timeout: number
}

export interface Runtime {
  readonly name: string
  /** Its version, or undefined where it is not installed. */
  version(): Promise<string | undefined>
  /** What to do where it is not installed. */
  readonly missing: string
  /** Runs one compiled test file, with nothing left of another. */
  run(file: string, settings: Settings): Promise<Outcome>
  close?(): Promise<void>
}
