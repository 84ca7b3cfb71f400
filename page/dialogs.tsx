/** Stop and Forget. A dialog of the browser keeps the focus inside, and gives it back. */
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { Holders } from './details.js'
import { Refusal } from './server.js'
import { ask, say, server, table } from './state.js'
import { keyedHolders } from './table.js'
import {
  count,
  fieldOf,
  type Holder,
  keyOf,
  type Listing,
  markText,
  type Receipt,
  titleOf,
  type Topic,
} from './values.js'

/** How long the server waits for holders before it answers, in milliseconds. */
const WAIT = 20_000
/** The least time between two requests if the server does not wait, in milliseconds. */
const PAUSE = 1_000

/** A dialog over the page. Escape closes it. */
function Modal({ title, children }: { readonly title: string; readonly children: ComponentChildren }): JSX.Element {
  const element = useRef<HTMLDialogElement>(null)
  useLayoutEffect(() => {
    const opener = document.activeElement
    element.current?.showModal()
    return () => {
      // The row of the opener may be gone.
      const next = opener instanceof HTMLElement && opener.isConnected ? opener : undefined
      setTimeout(() => (next ?? document.querySelector<HTMLElement>('input[type=search]'))?.focus())
    }
  }, [])
  return (
    <dialog ref={element} aria-labelledby="dialog-title" onClose={() => ask(undefined)}>
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  )
}

function messageOf(error: unknown): string {
  if (!(error instanceof Refusal))
    return 'The server cannot be reached, so the request may or may not have arrived. It does no harm to send it again.'
  return error.status === 401 || error.status === 403
    ? `You may not do this: ${error.message}.`
    : `Refused: ${error.message}.`
}

export function StopDialog({ topic }: { readonly topic: Topic }): JSX.Element {
  const [sent, setSent] = useState<Sent>()
  const [isDone, setDone] = useState(false)
  const title = titleOf(topic)
  return (
    <Modal title={sent === undefined ? `Stop ${title}?` : isDone ? `${title} has stopped` : `Stopping ${title}`}>
      {sent === undefined ? (
        <Question topic={topic} onSend={setSent} />
      ) : (
        <Progress topic={topic} sent={sent} onDone={() => setDone(true)} />
      )}
    </Modal>
  )
}

interface Sent {
  readonly reason: string
  /** The holders that were known when the cancel was sent. */
  readonly holders: readonly Holder[]
}

function Question({ topic, onSend }: { readonly topic: Topic; readonly onSend: (sent: Sent) => void }): JSX.Element {
  const holders = table.row(keyOf(topic))?.listing.holders ?? []
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => input.current?.focus(), [])
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        onSend({ reason: fieldOf(event.currentTarget, 'reason'), holders })
      }}
    >
      <p>
        {holders.length === 0
          ? 'It has no holder now. A token of this name that is opened later will be cancelled at once.'
          : `${count(holders.length, 'holder')} will be told to stop.`}
      </p>
      <label>
        <span>Reason, which all holders receive</span>
        <input name="reason" maxLength={1_000} autocomplete="off" ref={input} />
      </label>
      <div class="buttons">
        <button type="submit" class="stop">
          Stop
        </button>
        <button type="button" onClick={() => ask(undefined)}>
          Do not stop
        </button>
      </div>
    </form>
  )
}

/** The receipt, which fills up holder by holder. */
function Progress({
  topic,
  sent,
  onDone,
}: {
  readonly topic: Topic
  readonly sent: Sent
  readonly onDone: () => void
}): JSX.Element {
  const [receipt, setReceipt] = useState<Receipt>()
  const [problem, setProblem] = useState<string>()
  const close = useRef<HTMLButtonElement>(null)
  const seen = useRef(keyedHolders(sent.holders))
  const title = titleOf(topic)
  const done = receipt !== undefined && hasStopped(receipt)

  useEffect(() => {
    close.current?.focus()
    const end = new AbortController()
    const take = (next: Receipt) => {
      if (next.delivered) merge(seen.current, next.waiting)
      setReceipt(next)
      if (!hasStopped(next)) return
      onDone()
      say(`${title} has stopped.`)
    }
    void cancel(topic, sent.reason, take, setProblem, end.signal)
    return () => end.abort()
  }, [])

  const listing = cancelledListing(topic)
  if (listing !== undefined) merge(seen.current, listing.holders)
  const holders = [...seen.current.values()]
  const total = Math.max(holders.length, receipt?.holders ?? 0)
  const finished = done ? total : holders.filter(({ state }) => state === 'finished').length
  const heard = done ? total : holders.filter(({ state }) => state !== 'open').length
  return (
    <div class="receipt" data-done={done}>
      <p role="status">
        {receipt === undefined
          ? problem === undefined && 'Sending…'
          : `${finished} of ${count(total, 'holder')} finished, ${heard} heard of it.`}
      </p>
      <progress
        aria-label="Holders that have finished"
        max={Math.max(1, total)}
        value={done ? Math.max(1, total) : finished}
      />
      {problem !== undefined && <p role="alert">{problem}</p>}
      {receipt?.delivered === false && (
        <p role="alert">
          The cancel is not stored yet: the hub cannot be reached. The server keeps it and offers it again.
        </p>
      )}
      {receipt?.delivered === true && !receipt.complete && <p>There may be more holders.</p>}
      {receipt !== undefined && <p class="quiet">Cancelled {markText(receipt.mark)}</p>}
      <Holders holders={seen.current} />
      <div class="buttons">
        <button type="button" ref={close} onClick={() => ask(undefined)}>
          Close
        </button>
      </div>
    </div>
  )
}

function cancelledListing(topic: Topic): Listing | undefined {
  const listing = table.row(keyOf(topic))?.listing
  return listing?.state === 'cancelled' ? listing : undefined
}

const RANK: Readonly<Record<Holder['state'], number>> = { open: 0, acknowledged: 1, finished: 2 }

/**
 * Merges what is known of the holders with what was seen of them. A state only goes up. A holder that is not listed any more has
 * finished: a process that died stays listed for a while, as silent.
 */
function merge(seen: Map<string, Holder>, holders: readonly Holder[]): void {
  const present = keyedHolders(holders)
  for (const [key, holder] of seen) {
    if (!present.has(key)) seen.set(key, { ...holder, state: 'finished', silent: false })
  }
  for (const [key, holder] of present) {
    const old = seen.get(key)
    if (old === undefined || RANK[holder.state] >= RANK[old.state]) seen.set(key, holder)
  }
}

function hasStopped({ delivered, complete, waiting }: Receipt): boolean {
  return delivered && complete && waiting.length === 0
}

/**
 * Cancels again and again until all holders have finished: a cancel that is sent twice does no harm, and its receipt counts the holders
 * that are left.
 */
async function cancel(
  topic: Topic,
  reason: string,
  onReceipt: (receipt: Receipt) => void,
  onProblem: (problem: string | undefined) => void,
  signal: AbortSignal,
): Promise<void> {
  const query = { name: topic.name, runId: topic.runId }
  for (let timeout = 0; !signal.aborted; timeout = WAIT) {
    const begin = performance.now()
    let wait = PAUSE
    try {
      const body = { ...(reason === '' ? {} : { reason }), timeout, until: 'finished' }
      const receipt = (await server.post('cancel', query, body, signal)) as Receipt
      onProblem(undefined)
      onReceipt(receipt)
      if (hasStopped(receipt)) return
      if (timeout === 0) continue
    } catch (error) {
      if (signal.aborted) return
      onProblem(messageOf(error))
      if (error instanceof Refusal && error.status < 500 && error.status !== 408 && error.status !== 429) return
      wait = Math.max(2 * PAUSE, error instanceof Refusal ? error.retryAfter : 0)
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, wait - (performance.now() - begin))))
  }
}

export function ForgetDialog({ topic }: { readonly topic: Topic }): JSX.Element {
  const [problem, setProblem] = useState<string>()
  const [isSent, setSent] = useState(false)
  const title = titleOf(topic)
  const listing = cancelledListing(topic)
  const waiting = listing?.holders.filter(({ state }) => state !== 'finished').length ?? 0
  const forget = async (): Promise<void> => {
    setSent(true)
    try {
      await server.post('forget', { name: topic.name, runId: topic.runId }, {})
      say(`The cancel of ${title} is forgotten.`)
      ask(undefined)
    } catch (error) {
      setSent(false)
      setProblem(messageOf(error))
    }
  }
  return (
    <Modal title={`Forget the cancel of ${title}?`}>
      <p>Tokens that are cancelled stay cancelled. Tokens that are opened from now on are live.</p>
      {waiting > 0 && (
        <p role="alert">
          {count(waiting, 'holder')} {waiting === 1 ? 'has' : 'have'} not finished.
        </p>
      )}
      {problem !== undefined && <p role="alert">{problem}</p>}
      <div class="buttons">
        <button type="button" class="main" disabled={isSent} onClick={() => void forget()}>
          Forget
        </button>
        <button type="button" onClick={() => ask(undefined)}>
          Keep
        </button>
      </div>
    </Modal>
  )
}
