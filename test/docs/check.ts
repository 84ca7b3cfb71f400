import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import ts from 'typescript'
import type { Block } from './blocks.js'

const { toJavaScript } = (await import(new URL('../../../scripts/docs/javascript.mjs', import.meta.url).href)) as {
  toJavaScript(code: string): string | undefined
}

/** What came of one block: `problem` says what is wrong, beginning with file:line, or is undefined. */
export interface Outcome {
  readonly block: Block
  readonly problem: string | undefined
}

export interface CheckOptions {
  /** A folder from which `calloff` can be imported: the project itself, or one in which the package is installed. */
  readonly project: string
  /** Where type packages (that of Node) are found. */
  readonly typeRoots: string
  /** `ts` type-checks and compiles; `js` runs each block as the site shows it in JavaScript. */
  readonly mode: 'ts' | 'js'
  /** How many blocks run at the same time. Default: 2. */
  readonly lanes?: number
  /** After how many ms a block that has not ended is a failure. Default: 120,000. */
  readonly timeout?: number
}

const strict: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  moduleDetection: ts.ModuleDetectionKind.Force,
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  types: ['node'],
  skipLibCheck: true,
  sourceMap: true,
}

/** Type-checks all blocks in one program and runs each in a process of its own. */
export async function checkBlocks(blocks: readonly Block[], options: CheckOptions): Promise<Outcome[]> {
  const folder = resolve(options.project, 'build', 'docs', `${options.mode}-${process.pid}`)
  mkdirSync(folder, { recursive: true })
  const problems = new Map<Block, string>()
  const programs = new Map<Block, string>()
  const sources = new Map<string, Block>()
  for (const [at, block] of blocks.entries()) {
    const stem = join(folder, `${block.file.replaceAll(/[^\w]+/g, '-')}-${block.line}-${at}`)
    programs.set(block, `${stem}.mjs`)
    if (options.mode === 'ts' && block.language === 'ts') {
      writeFileSync(`${stem}.mts`, block.code)
      sources.set(`${stem}.mts`, block)
    } else {
      writeFileSync(`${stem}.mjs`, block.language === 'ts' ? javascriptOf(block) : block.code)
    }
  }
  for (const [block, problem] of compile(sources, options)) problems.set(block, problem)

  const waiting = blocks.filter((block) => block.isRun && !problems.has(block))
  const lane = async (): Promise<void> => {
    for (let block = waiting.shift(); block !== undefined; block = waiting.shift()) {
      const problem = await runBlock(block, programs.get(block)!, options.timeout ?? 120_000)
      if (problem !== undefined) problems.set(block, problem)
    }
  }
  await Promise.all(Array.from({ length: options.lanes ?? 2 }, lane))
  // What failed stays, to be looked at, until the next build.
  if (problems.size === 0) rmSync(folder, { recursive: true })
  return blocks.map((block) => ({ block, problem: problems.get(block) }))
}

/** As the site shows it. */
function javascriptOf({ code, file, line }: Block): string {
  const javascript = toJavaScript(code)
  if (javascript === undefined) throw new Error(`${file}:${line} has syntax that only a compiler can take off`)
  return javascript
}

/** Emits all programs and returns what the compiler has against them. */
function compile(sources: ReadonlyMap<string, Block>, options: CheckOptions): Map<Block, string> {
  const found = new Map<Block, string>()
  const program = ts.createProgram([...sources.keys()], { ...strict, typeRoots: [options.typeRoots] })
  program.emit()
  for (const diagnostic of ts.getPreEmitDiagnostics(program)) {
    const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')
    const block = diagnostic.file && sources.get(resolve(diagnostic.file.fileName))
    if (diagnostic.file === undefined || block === undefined) throw new Error(`TS${diagnostic.code}: ${text}`)
    const { line } = diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start ?? 0)
    const message = `${block.file}:${block.lines[line] ?? block.line} TS${diagnostic.code}: ${text}`
    const before = found.get(block)
    found.set(block, before === undefined ? message : `${before}\n${message}`)
  }
  return found
}

async function runBlock(block: Block, program: string, timeout: number): Promise<string | undefined> {
  const { problem, stdout, stderr } = await execute(program, timeout)
  if (problem !== undefined) {
    return `${block.file}:${lineOfError(block, program, stderr)} ${problem}\n${stderr.trimEnd()}`
  }
  const printed = stdout.split('\n').slice(0, -1)
  const missing = [...block.expected]
  const surplus: string[] = []
  for (const line of printed) {
    const at = missing.findIndex((text) => fits(text, line.trimEnd()))
    if (at === -1) surplus.push(line)
    else missing.splice(at, 1)
  }
  if (missing.length === 0 && (surplus.length === 0 || !block.isComplete)) return undefined
  return [
    `${block.file}:${block.line} does not print what its comments say.`,
    ...missing.map((text) => `  promised, not printed: ${text}`),
    ...surplus.map((text) => `  printed, not promised: ${text}`),
  ].join('\n')
}

/** An ellipsis in a promised line stands for anything. */
export function fits(promised: string, printed: string): boolean {
  if (!promised.includes('…')) return promised === printed
  const parts = promised.split('…').map((part) => part.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`))
  return new RegExp(`^${parts.join('.*')}$`).test(printed)
}

interface Execution {
  readonly problem: string | undefined
  readonly stdout: string
  readonly stderr: string
}

function execute(program: string, timeout: number): Promise<Execution> {
  return new Promise((done) => {
    const args = ['--enable-source-maps', program]
    const settings = { cwd: dirname(program), timeout, killSignal: 'SIGKILL', env: quietEnvironment() } as const
    execFile(process.execPath, args, settings, (error, stdout, stderr) => {
      let problem: string | undefined
      if (error !== null) {
        problem = error.killed === true ? `has not ended after ${timeout} ms.` : `ends with code ${String(error.code)}.`
      }
      done({ problem, stdout, stderr })
    })
  })
}

/** A test runner's own variables would change how a child behaves. */
function quietEnvironment(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _context, NODE_V8_COVERAGE: _coverage, FORCE_COLOR: _color, ...rest } = process.env
  return { ...rest, NO_COLOR: '1' }
}

/** The line of the page that an error's stack points at, or the block's first one. */
function lineOfError(block: Block, program: string, stderr: string): number {
  const stem = relative(dirname(program), program).replace(/\.mjs$/, '')
  const found = new RegExp(`${stem}\\.m[jt]s:(\\d+)`).exec(stderr)
  return block.lines[Number(found?.[1]) - 1] ?? block.line
}
