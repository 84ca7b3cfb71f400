/**
 * The descriptors that this program was started with, besides the first three: pipes of make's job server, sockets of a service manager,
 * files that a shell has opened. A command that is run is to have them, too.
 *
 * Node closes those up to 15 to its children, and the ones that follow these without a gap, and does not say which were there before its
 * own. On Linux they can be told apart. The system gives the lowest free number, and the first thing that Node opens is a poll: what is
 * below that was there before. Up to where Node has closed, its own are polls, events and pipes to itself. Above, its own are those that
 * are closed to children.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import process from 'node:process'

/** Octal, as the system shows them. */
const NONBLOCKING = 0o4000
const CLOSE_ON_EXEC = 0o2000000
const ACCESS = 0o3
const WRITE = 0o1
/** Node closes all up to that number. */
const REACH = 15
/** The highest number that is passed on. Only programs that open thousands have higher ones, and each number up to it costs a word in a table. */
const HIGHEST = 1023

interface Descriptor {
  readonly number: number
  /** `/path`, `pipe:[123]`, `socket:[123]`, `anon_inode:[eventpoll]` */
  readonly what: string
  readonly flags: number
}

/** What a command that is to have these, and this program's first three, is started with. To be called before anything is opened. */
export function stdioWith(descriptors: readonly number[]): ('inherit' | 'ignore')[] {
  const stdio = Array.from({ length: Math.max(2, ...descriptors) + 1 }, (): 'inherit' | 'ignore' => 'ignore')
  for (const one of [0, 1, 2, ...descriptors]) stdio[one] = 'inherit'
  return stdio
}

/** The numbers of those that were there before Node's own. None where the system does not tell. */
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

/** Node's pipes to itself: of each, both ends are here, and not at our parent, who may have given one to us. */
function ownPipes(all: readonly Descriptor[]): ReadonlySet<string> {
  const elsewhere = new Set(descriptorsOf(process.ppid).map(({ what }) => what))
  const pairs = new Map<string, number>()
  for (const [at, { what, flags }] of all.entries()) {
    const other = all.find((one, index) => index > at && one.what === what)
    const isPair = other && (flags & ACCESS) + (other.flags & ACCESS) === WRITE && (flags & CLOSE_ON_EXEC) !== 0
    if (what.startsWith('pipe:') && isPair && !elsewhere.has(what)) pairs.set(what, flags & NONBLOCKING)
  }
  // All of Node's but one do not block. That one is made just before the others, so its number in the system is next to theirs.
  const names = [...pairs.keys()]
  const own = names.filter((one) => pairs.get(one) !== 0)
  const distance = (one: string) => Math.min(...own.map((other) => Math.abs(inodeOf(one) - inodeOf(other))))
  const [blocking] = names.filter((one) => pairs.get(one) === 0).toSorted((a, b) => distance(a) - distance(b))
  return new Set(blocking === undefined ? own : [...own, blocking])
}

/** Of `pipe:[123]`. */
const inodeOf = (pipe: string) => Number(pipe.slice(6, -1))

function descriptorsOf(pid: number | 'self'): readonly Descriptor[] {
  try {
    const numbers = readdirSync(`/proc/${pid}/fd`).map(Number)
    return numbers
      .filter((number) => number > 2 && number <= HIGHEST)
      .toSorted((a, b) => a - b)
      .flatMap((number) => read(pid, number))
  } catch {
    return [] // not Linux, or not ours to see
  }
}

function read(pid: number | 'self', number: number): readonly Descriptor[] {
  try {
    const what = readlinkSync(`/proc/${pid}/fd/${number}`)
    const [, flags = '0'] = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${number}`, 'utf8')) ?? []
    return [{ number, what, flags: Number.parseInt(flags, 8) }]
  } catch {
    return [] // that by which the folder was read
  }
}
