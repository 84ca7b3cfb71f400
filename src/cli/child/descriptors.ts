/**
 * The descriptors with which this program was started, besides the first three: pipes of make's job server, sockets of
 * a service manager, files that a shell has opened. A command that calloff runs must inherit them, too.
 *
 * Node closes the descriptors up to 15 for its children, and also those that follow without a gap. It does not say
 * which of them existed before its own. On Linux they can be distinguished. The system assigns the lowest free number,
 * and the first descriptor that Node opens is a poll. So lower numbers existed before. In the range that Node closes,
 * its own descriptors are polls, events and pipes to itself. Above that range, its own are those that are closed for
 * children.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import process from 'node:process'

/** Octal, as the system shows them. */
const NONBLOCKING = 0o4000
const CLOSE_ON_EXEC = 0o2000000
const ACCESS = 0o3
const WRITE = 0o1
/** Node closes all descriptors up to this number. */
const REACH = 15
/**
 * The highest number that is passed on. Only programs that open thousands of descriptors have higher ones, and each
 * number up to it costs a word in a table.
 */
const HIGHEST = 1023

interface Descriptor {
  readonly number: number
  /** `/path`, `pipe:[123]`, `socket:[123]`, `anon_inode:[eventpoll]` */
  readonly what: string
  readonly flags: number
}

/**
 * Returns the `stdio` for a command that inherits these descriptors and the first three of this program. Must be called
 * before any file is opened.
 */
export function stdioWith(descriptors: readonly number[]): ('inherit' | 'ignore')[] {
  const stdio = Array.from({ length: Math.max(2, ...descriptors) + 1 }, (): 'inherit' | 'ignore' => 'ignore')
  for (const one of [0, 1, 2, ...descriptors]) stdio[one] = 'inherit'
  return stdio
}

/**
 * Returns the numbers of the descriptors that existed before Node's own. Returns none if the system does not report
 * them.
 */
export function givenDescriptors(): readonly number[] {
  const all = descriptorsOf('self')
  const firstOwn = all.find(({ what }) => what === 'anon_inode:[eventpoll]')?.number ?? 0
  const own = ownPipes(all.filter(({ number }) => number > firstOwn))
  const isLikeOwn = ({ what }: Descriptor) => what.startsWith('anon_inode:') || own.has(what)
  let reach = REACH
  while (all.some((one) => one.number === reach + 1 && !isLikeOwn(one))) reach++
  const isGiven = (one: Descriptor) =>
    one.number < firstOwn || (one.flags & CLOSE_ON_EXEC) === 0 || (one.number <= reach && !isLikeOwn(one))
  return all.filter(isGiven).map(({ number }) => number)
}

/**
 * Returns Node's pipes to itself. Both ends of such a pipe are in this process, and none is in the parent process,
 * which may have passed a pipe to this one.
 */
function ownPipes(all: readonly Descriptor[]): ReadonlySet<string> {
  const elsewhere = new Set(descriptorsOf(process.ppid).map(({ what }) => what))
  const pairs = new Map<string, number>()
  for (const [at, { what, flags }] of all.entries()) {
    const other = all.find((one, index) => index > at && one.what === what)
    const isPair = other && (flags & ACCESS) + (other.flags & ACCESS) === WRITE && (flags & CLOSE_ON_EXEC) !== 0
    if (what.startsWith('pipe:') && isPair && !elsewhere.has(what)) pairs.set(what, flags & NONBLOCKING)
  }
  // All pipes of Node but one are non-blocking. The blocking one is made just before the others, so its number in the
  // system is next to theirs.
  const names = [...pairs.keys()]
  const own = names.filter((one) => pairs.get(one) !== 0)
  const distance = (one: string) => Math.min(...own.map((other) => Math.abs(inodeOf(one) - inodeOf(other))))
  const [blocking] = names.filter((one) => pairs.get(one) === 0).toSorted((a, b) => distance(a) - distance(b))
  return new Set(blocking === undefined ? own : [...own, blocking])
}

/** Returns the number in `pipe:[123]`. */
const inodeOf = (pipe: string) => Number(pipe.slice(6, -1))

function descriptorsOf(pid: number | 'self'): readonly Descriptor[] {
  try {
    const numbers = readdirSync(`/proc/${pid}/fd`).map(Number)
    return numbers
      .filter((number) => number > 2 && number <= HIGHEST)
      .toSorted((a, b) => a - b)
      .flatMap((number) => read(pid, number))
  } catch {
    return [] // not Linux, or no permission
  }
}

function read(pid: number | 'self', number: number): readonly Descriptor[] {
  try {
    const what = readlinkSync(`/proc/${pid}/fd/${number}`)
    const [, flags = '0'] = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${number}`, 'utf8')) ?? []
    return [{ number, what, flags: Number.parseInt(flags, 8) }]
  } catch {
    return [] // the descriptor by which the folder was read
  }
}
