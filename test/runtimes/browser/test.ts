/**
 * A stand-in for `node:test` in a browser: as much of it as the universal tests use. What it does not know it refuses, so
 * that no test is passed over.
 */
import type { Case } from '../runtime.js'

interface Options {
  readonly skip?: string | false
}
type Body = () => unknown
interface Test {
  readonly title: string
  readonly body: Body
  readonly skip: string | undefined
}
interface Group {
  readonly title: string
  readonly members: (Test | Group)[]
  readonly before: Body[]
  readonly after: Body[]
  readonly afterEach: Body[]
}

const group = (title: string): Group => ({ title, members: [], before: [], after: [], afterEach: [] })
const top = group('')
let current = top

function add(title: string, options: Options | Body, body: Body = options as Body): void {
  const { skip = false, ...unknown } = typeof options === 'function' ? {} : options
  if (Object.keys(unknown).length > 0) throw new TypeError(`no option of tests is called ${Object.keys(unknown)} here`)
  if (typeof body !== 'function' || body.length > 0) throw new TypeError('a test is a function that takes nothing here')
  current.members.push({ title, body, skip: skip === false ? undefined : skip })
}

export { add as it, add as test }

export function describe(title: string, body: Body): void {
  const outer = current
  current = group(title)
  outer.members.push(current)
  try {
    if (body() !== undefined) throw new TypeError('the body of a describe() returns nothing here')
  } finally {
    current = outer
  }
}

export function before(hook: Body): void {
  current.before.push(hook)
}

export function after(hook: Body): void {
  current.after.push(hook)
}

export function afterEach(hook: Body): void {
  current.afterEach.push(hook)
}

declare const calloffTell: (said: string) => void
/** Tells the runner of a test that begins, by its title, or has ended: a page that hangs gives no report. */
const tell = (said: string | Case): void => calloffTell(JSON.stringify(said))

const text = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? String(error)) : `${String(error)} was thrown`

/** Runs, in order, what is declared while `load` runs. What is thrown outside of the tests is a complaint. */
export async function run(load: () => Promise<unknown>): Promise<{ cases: Case[]; complaints: string[] }> {
  const cases: Case[] = []
  const complaints: string[] = []
  // A test may listen after us, and prevent it: so each is judged when all have heard of it.
  const complain = (event: Event, what: () => string): void =>
    void setTimeout(() => event.defaultPrevented || complaints.push(what()))
  globalThis.addEventListener('error', (event) =>
    complain(event, () => `thrown outside of a test: ${text(event.error)}`),
  )
  globalThis.addEventListener('unhandledrejection', (event) =>
    complain(event, () => `an unhandled rejection: ${text(event.reason)}`),
  )
  try {
    await load()
    await runGroup(top, [], [], cases)
  } catch (error) {
    complaints.push(text(error))
  }
  // What the last test left to come.
  await new Promise((resolve) => {
    setTimeout(resolve, 5)
  })
  return { cases, complaints }
}

async function runGroup(group: Group, outer: string[], hooks: readonly Body[], cases: Case[]): Promise<void> {
  const { title, members, before, after, afterEach } = group
  const path = title === '' ? outer : [...outer, title]
  const afterwards = [...afterEach, ...hooks]
  for (const hook of before) await hook()
  for (const member of members) {
    if ('members' in member) {
      await runGroup(member, path, afterwards, cases)
      continue
    }
    const title = [...path, member.title].join(' > ')
    tell(title)
    const one: Case = { title, ...(await runTest(member, afterwards)) }
    tell(one)
    cases.push(one)
  }
  for (const hook of after) await hook()
}

async function runTest({ body, skip }: Test, afterwards: readonly Body[]): Promise<Omit<Case, 'title'>> {
  if (skip !== undefined) return { state: 'skipped', detail: skip }
  try {
    try {
      await body()
    } finally {
      for (const hook of afterwards) await hook()
    }
    return { state: 'passed', detail: '' }
  } catch (error) {
    return { state: 'failed', detail: text(error) }
  }
}
