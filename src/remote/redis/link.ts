/** A link over Redis: each request runs a script, and the reply of the script is the answer. */
import { now } from '../../core/clock.js'
import { LinkBase } from '../adapter/link-base.js'
import type { Opening } from '../adapter/open-link.js'
import { markOfText, textOfMark } from '../adapter/stored-fields.js'
import { pause } from '../contract/deferred.js'
import type { Acquired, HolderRecord, Link, MarkRecord, Topic, TopicReport, TopicState } from '../contract/engine.js'
import { HubError } from '../contract/errors.js'
import { keyOf } from '../contract/topic.js'
import type { Wire } from './clients.js'
import { evictionOf, mayPass, reportOf, stateOf } from './replies.js'
import { keysOf, type Script, scripts } from './scripts.js'

/** The most holders or topics of one script, so that other clients get their turn in between. */
const BATCH = 250
/** The number of topics on a page of a list. */
const PAGE = 200
/** How long, and how often, a request that a changing cluster cannot serve is sent again over the same connection, in milliseconds. */
const CHANGING = 5_000
const AGAIN = 50
/** The longest duration that Redis can count, roughly. */
const LONGEST = 1e15

export class RedisLink extends LinkBase implements Link {
  /** The channel for the notices of the session. */
  readonly channel: string

  constructor(
    opening: Opening,
    private readonly wire: Wire,
    private readonly root: string,
  ) {
    super(opening)
    this.channel = `${root}:heard:${this.session.id}`
  }

  /** Begins the session. Rejects if this Redis evicts keys, unless `mayEvict`. */
  async begin(mayEvict: boolean): Promise<void> {
    const policy = mayEvict ? undefined : evictionOf(String(await this.#run(scripts.memory)))
    if (policy !== undefined) {
      const what = `maxmemory-policy is ${policy}, so Redis may delete a cancel when it runs out of memory`
      const text = `${this.place}: ${what}; set it to noeviction, or pass eviction: 'allow'`
      throw new HubError('ERR_HUB_REFUSED', text)
    }
    await this.beat()
  }

  /** Handles a message of the channel. */
  heard(message: string): void {
    if (message === '') return this.echoed()
    let state: TopicState
    try {
      state = stateOf(JSON.parse(message) as string[])
    } catch {
      return // A message of another program: no hub has sent it.
    }
    this.notice(state)
  }

  #run(script: Script, ...args: string[]): Promise<unknown> {
    return this.ask(() => this.#eval(script, args))
  }

  /** Runs a script, and again for a while if the cluster is only changing: a slot moves (RL1), or a replica takes over. */
  async #eval(script: Script, args: readonly string[]): Promise<unknown> {
    const began = now()
    for (;;) {
      try {
        return await this.#send(script, args)
      } catch (error) {
        if (this.over || !mayPass(error as Error) || now() - began >= CHANGING) throw error
      }
      await pause(AGAIN, false)
    }
  }

  async #send({ sha, text }: Script, args: readonly string[]): Promise<unknown> {
    const given = ['2', ...keysOf(this.root), ...args]
    try {
      return await this.wire.command(['EVALSHA', sha, ...given])
    } catch (error) {
      // The server does not know the script yet, or was restarted.
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return await this.wire.command(['EVAL', text, ...given])
    }
  }

  async enter(holders: readonly HolderRecord[]): Promise<readonly TopicState[]> {
    const { id: session, ttl } = this.session
    const answers = await Promise.all(
      inBatches(holders).map((batch) => {
        const args = batch.flatMap(({ id, topic, state, role, since }) => [id, keyOf(topic), state, role, since])
        return this.#run(scripts.enter, session, String(ttl), ...args.map(String))
      }),
    )
    if (answers.some((answer) => answer === null)) {
      // The session was silent for too long and has expired. Over the next link everything is entered again.
      throw this.gone('the session has expired')
    }
    return (answers as string[][][]).flat().map(stateOf)
  }

  async leave(ids: readonly number[]): Promise<void> {
    const { id: session } = this.session
    await Promise.all(inBatches(ids).map((batch) => this.#run(scripts.leave, session, ...batch.map(String))))
  }

  async read(topics: readonly Topic[]): Promise<readonly TopicState[]> {
    const answers = await Promise.all(inBatches(topics).map((batch) => this.#run(scripts.read, ...batch.map(keyOf))))
    return (answers as string[][][]).flat().map(stateOf)
  }

  async mark(topic: Topic, mark: MarkRecord, ttl: number): Promise<MarkRecord> {
    const ms = String(Math.min(Math.ceil(ttl), LONGEST))
    const stands = (await this.#run(scripts.mark, keyOf(topic), textOfMark(mark), ms, mark.id)) as string
    return markOfText(stands)
  }

  async list(what: { readonly prefix: string } | { readonly topic: Topic }): Promise<readonly TopicReport[]> {
    if ('topic' in what) {
      const report = (await this.#run(scripts.report, keyOf(what.topic))) as string[]
      return report.length > 0 ? [reportOf(report)] : []
    }
    const reports: TopicReport[] = []
    let last = ''
    do {
      const page = await this.#run(scripts.list, what.prefix, last, String(PAGE))
      const [next, ...found] = page as [string, ...string[][]]
      for (const report of found) reports.push(reportOf(report))
      last = next
    } while (last !== '')
    return reports
  }

  async forget(topic: Topic): Promise<void> {
    await this.#run(scripts.forget, keyOf(topic))
  }

  async beat(): Promise<boolean> {
    const { id, host, pid, ttl } = this.session
    this.expectEcho()
    const beat = async () => {
      const answer = await this.#run(scripts.beat, id, host, String(pid), String(ttl))
      return (answer as [was: unknown, more: unknown]).map(isYes) as [was: boolean, more: boolean]
    }
    const [was, more] = await beat()
    if (more) void this.#clean(beat)
    return was
  }

  /** Removes the rest of expired sessions, one piece at a time. */
  async #clean(beat: () => Promise<[was: boolean, more: boolean]>): Promise<void> {
    try {
      while ((await beat())[1]);
    } catch {
      // another client will do it
    }
  }

  async acquire(topic: Topic, owner: string, ttl: number): Promise<Acquired> {
    const [held, number] = (await this.#run(scripts.acquire, keyOf(topic), owner, String(ttl))) as [unknown, string]
    return isYes(held) ? { held: true, fence: Number(number) } : { held: false, left: Number(number) }
  }

  async renew(topic: Topic, fence: number, ttl: number): Promise<boolean> {
    return isYes(await this.#run(scripts.renew, keyOf(topic), String(fence), String(ttl)))
  }

  async release(topic: Topic, fence: number): Promise<void> {
    await this.#run(scripts.release, keyOf(topic), String(fence))
  }

  async bye(): Promise<void> {
    const { id } = this.session
    while (!isYes(await this.#run(scripts.bye, id)));
  }
}

function inBatches<T>(all: readonly T[]): T[][] {
  const batches: T[][] = []
  for (let i = 0; i < all.length; i += BATCH) batches.push(all.slice(i, i + BATCH))
  return batches
}

/** A client may be configured to return numbers as text. */
function isYes(reply: unknown): boolean {
  return String(reply) === '1'
}
