/** One name: its mark, each holder with its progress, and what happened to it since the page was opened. */
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { StateBadge } from './names.js'
import { ask, now, select, table } from './state.js'
import { keyedHolders } from './table.js'
import {
  count,
  type Holder,
  keyOf,
  type Listing,
  markText,
  processText,
  spanText,
  titleOf,
  type Topic,
} from './values.js'

/** Holders and entries that are shown. */
const MOST = 200

export function Details({ topic }: { readonly topic: Topic }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null)
  const before = useRef(document.activeElement)
  useEffect(() => {
    const opener = before.current
    heading.current?.focus()
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus()
    }
  }, [])
  const row = table.row(keyOf(topic))
  return (
    <section
      class="details"
      aria-labelledby="details-of"
      onKeyDown={(event) => event.key === 'Escape' && select(undefined)}
    >
      <div class="title">
        <h2 id="details-of" tabIndex={-1} ref={heading}>
          {titleOf(topic)}
        </h2>
        <button type="button" onClick={() => select(undefined)}>
          Close
        </button>
      </div>
      {row === undefined ? (
        <p class="quiet">It has no holder and no mark any more.</p>
      ) : (
        <>
          <p class="summary">
            <StateBadge row={row} seconds={Math.floor(now() / 1_000)} />
            {row.state === 'live' && (
              <button type="button" class="stop" onClick={() => ask({ kind: 'stop', topic })}>
                Stop…
              </button>
            )}
            {row.state !== 'live' && (
              <button type="button" onClick={() => ask({ kind: 'forget', topic })}>
                Forget…
              </button>
            )}
          </p>
          <Facts listing={row.listing} />
          <h3>{count(row.listing.holders.length, 'holder')}</h3>
          <Holders holders={keyedHolders(row.listing.holders)} />
        </>
      )}
      <History topic={topic} />
    </section>
  )
}

function Facts({ listing: { mark, lease } }: { readonly listing: Listing }): JSX.Element {
  return (
    <dl>
      {mark && (
        <>
          <dt>Cancelled</dt>
          <dd>{markText(mark)}</dd>
          <dt>At</dt>
          <dd>{new Date(mark.at).toLocaleString()}</dd>
        </>
      )}
      {lease && (
        <>
          <dt>Lease</dt>
          <dd>
            fence {lease.fence}, {lease.held ? 'held' : 'free'}
          </dd>
        </>
      )}
    </dl>
  )
}

const PROGRESS: Readonly<Record<Holder['state'], string>> = {
  open: 'open',
  acknowledged: 'has heard of the cancel',
  finished: 'has finished',
}

/** The holders, each with its progress. */
export function Holders({ holders }: { readonly holders: ReadonlyMap<string, Holder> }): JSX.Element {
  const shown = [...holders].slice(0, MOST)
  return (
    <>
      <ul class="list-of-holders">
        {shown.map(([key, holder]) => (
          <li key={key} class={holder.state}>
            <span class="who">{processText(holder)}</span>
            <span class="progress">
              {PROGRESS[holder.state]}
              {holder.silent ? ', silent for a while' : ''}
            </span>
            <span class="age">
              {holder.role === 'open' ? '' : `${holder.role}, `}
              {spanText(now() - Date.parse(holder.since))} old
            </span>
          </li>
        ))}
      </ul>
      {holders.size > MOST && <p class="quiet">and {holders.size - MOST} more</p>}
    </>
  )
}

function History({ topic }: { readonly topic: Topic }): JSX.Element {
  const entries = table.history(keyOf(topic)).toReversed()
  return (
    <>
      <h3>Since this page was opened</h3>
      {entries.length === 0 && <p class="quiet">Nothing has changed.</p>}
      <ol class="history" reversed>
        {entries.map(({ at, text }, index) => (
          <li key={entries.length - index}>
            <time dateTime={new Date(at).toISOString()}>{new Date(at).toLocaleTimeString()}</time> {text}
          </li>
        ))}
      </ol>
    </>
  )
}
