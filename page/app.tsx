import type { JSX } from 'preact'
import { useEffect, useMemo } from 'preact/hooks'
import { Details } from './details.js'
import { ForgetDialog, StopDialog } from './dialogs.js'
import { Names } from './names.js'
import { feed, invalidate, server, table, title, view, wish } from './state.js'
import type { Column, Wish } from './table.js'
import { fieldOf, keyOf, spanText } from './values.js'

/** The last refusal, until the server lets in. */
let refusal: { readonly status: number; readonly why: string } | undefined

export function App(): JSX.Element {
  const { connection } = feed
  if (connection.state === 'refused') refusal = connection
  if (connection.state === 'connected') refusal = undefined
  return refusal === undefined ? <Everything /> : <Refused {...refusal} />
}

function Everything(): JSX.Element {
  const { wish: wanted, selected, dialog } = view
  const rows = useMemo(() => table.select(wanted), [table.version, wanted])
  const stopping = table.count('stopping')
  useEffect(() => {
    document.title = stopping > 0 ? `(${stopping} not stopped) ${title}` : title
  }, [stopping])
  return (
    <>
      <header>
        <h1>{title}</h1>
        <ConnectionState />
      </header>
      <Tools />
      <div class={selected === undefined ? 'parts' : 'parts with-details'}>
        <Names rows={rows} />
        {selected !== undefined && <Details key={keyOf(selected)} topic={selected} />}
      </div>
      {dialog?.kind === 'stop' && <StopDialog key={keyOf(dialog.topic)} topic={dialog.topic} />}
      {dialog?.kind === 'forget' && <ForgetDialog key={keyOf(dialog.topic)} topic={dialog.topic} />}
      <p role="status" class="said">
        {view.said}
      </p>
    </>
  )
}

function ConnectionState(): JSX.Element {
  const { connection } = feed
  let [look, text] = ['good', 'Connected']
  if (connection.state === 'connecting') [look, text] = ['wait', 'Connecting…']
  else if (connection.state === 'lost') {
    const left = connection.again - Date.now()
    ;[look, text] = [
      'bad',
      `Not connected: ${connection.why}.${left > 1_000 ? ` Next attempt in ${spanText(left)}.` : ''}`,
    ]
  } else if (table.hub !== 'connected') {
    ;[look, text] = ['bad', 'The server has no connection to the hub. What you see may be old.']
  } else if (!table.isReady) [look, text] = ['wait', 'Reading the names…']
  return (
    <div class={`connection ${look}`}>
      {/* A screen reader does not read the countdown. */}
      <span role={look === 'bad' ? undefined : 'status'}>{text}</span>
      {look === 'bad' && (
        <>
          <span role="status" class="said">
            Not connected
          </span>
          {connection.state === 'lost' && (
            <button type="button" onClick={() => feed.start()}>
              Try now
            </button>
          )}
        </>
      )}
    </div>
  )
}

const STATES: readonly (readonly [Wish['state'], string])[] = [
  ['all', 'All'],
  ['stopping', 'Not stopped'],
  ['live', 'Live'],
  ['cancelled', 'Cancelled'],
]

const ORDERS: readonly (readonly [Column, string])[] = [
  ['state', 'State'],
  ['name', 'Name'],
  ['holders', 'Held by'],
  ['since', 'Since'],
  ['why', 'Cancelled'],
]

function Tools(): JSX.Element {
  const { filter, state, column } = view.wish
  return (
    <div class="tools">
      <label class="filter">
        <span>Filter</span>
        <input
          type="search"
          value={filter}
          placeholder="name, host, process, reason"
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => wish({ filter: event.currentTarget.value })}
        />
      </label>
      <div class="states" role="group" aria-label="State">
        {STATES.map(([key, text]) => (
          <button
            key={key}
            type="button"
            aria-pressed={state === key}
            class={key === 'stopping' && table.count(key) > 0 ? 'alarm' : ''}
            onClick={() => wish({ state: key })}
          >
            {text} <b>{table.count(key).toLocaleString('en')}</b>
          </button>
        ))}
      </div>
      <label class="order">
        <span>Sort by</span>
        <select
          value={column}
          onChange={(event) => wish({ column: event.currentTarget.value as Column, isReversed: false })}
        >
          {ORDERS.map(([key, text]) => (
            <option key={key} value={key}>
              {text}
            </option>
          ))}
        </select>
      </label>
    </div>
  )
}

function Refused({ status, why }: { readonly status: number; readonly why: string }): JSX.Element {
  return (
    <section class="refused">
      <h1>{title}</h1>
      <p role="alert">
        {status === 401 ? 'The server wants to know who you are.' : 'You may not see the names of this hub.'}
      </p>
      <p class="quiet">{why}</p>
      <p>
        If <code>calloff serve --http</code> serves this page, open the link that it has printed.{' '}
        <code>calloff ui</code> prints it again.
      </p>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          const text = fieldOf(event.currentTarget, 'token')
          // The link works as well as the token in it.
          server.setToken(text.replace(/^.*#token=/, ''))
          feed.start()
          invalidate()
        }}
      >
        <label>
          <span>Token or link</span>
          <input name="token" type="password" required autocomplete="off" />
        </label>
        <button type="submit" class="main">
          Continue
        </button>
        <button type="button" onClick={() => feed.start()}>
          Try again
        </button>
      </form>
    </section>
  )
}
