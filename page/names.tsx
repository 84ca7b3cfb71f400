/** The table of names. Only the rows in sight, and a few around them, are in the document. */
import { visible } from '../src/cli/terminal/visible.js'
import { Component, type JSX } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import { ask, invalidate, now, select, table, view, wish } from './state.js'
import type { Column, Row } from './table.js'
import { briefMark, count, keyOf, markText, spanText } from './values.js'

/** Rows above and below those in sight: the next ones are there before they are scrolled to, and the Tab key finds them. */
const AROUND = 6
/** Milliseconds after a cancel from which on a holder that has not finished is a reason to worry. */
const WORRY = 5_000

const COLUMNS: readonly (readonly [Column, string])[] = [
  ['name', 'Name'],
  ['state', 'State'],
  ['holders', 'Held by'],
  ['since', 'Since'],
  ['why', 'Cancelled'],
]

export function Names({ rows }: { readonly rows: readonly Row[] }): JSX.Element {
  const box = useRef<HTMLDivElement>(null)
  const sight = useRef({ top: 0, height: 600, rowHeight: 44 })
  const focused = useRef<string>()

  useLayoutEffect(() => {
    const element = box.current as HTMLDivElement
    const scrolled = () => {
      sight.current.top = element.scrollTop
      invalidate()
    }
    const resized = () => {
      // The height is in rem in the style sheet, and differs on phones.
      const rowHeight = parseFloat(getComputedStyle(element).getPropertyValue('--row')) * rem()
      sight.current = { top: element.scrollTop, height: element.clientHeight, rowHeight }
      invalidate()
    }
    resized()
    const observer = new ResizeObserver(resized)
    observer.observe(element)
    element.addEventListener('scroll', scrolled, { passive: true })
    return () => {
      observer.disconnect()
      element.removeEventListener('scroll', scrolled)
    }
  }, [])

  const { top, height, rowHeight } = sight.current
  const first = Math.max(0, Math.floor(top / rowHeight) - AROUND)
  const last = Math.min(rows.length, Math.ceil((top + height) / rowHeight) + AROUND)
  const places = Array.from({ length: Math.max(0, last - first) }, (_, at) => first + at)
  // The row with the focus stays in the document wherever it goes. Otherwise the focus would be lost.
  const held = focused.current === undefined ? -1 : rows.findIndex(({ key }) => key === focused.current)
  if (held >= 0 && held < first) places.unshift(held)
  if (held >= last) places.push(held)

  const seconds = Math.floor(now() / 1_000)
  const selected = view.selected && keyOf(view.selected)
  return (
    <div
      class="names"
      ref={box}
      role="table"
      aria-label="Names"
      aria-rowcount={rows.length + 1}
      onFocusIn={(event) => {
        focused.current = (event.target as Element).closest<HTMLElement>('[data-key]')?.dataset['key']
      }}
      onFocusOut={() => {
        focused.current = undefined
      }}
      onKeyDown={moveByKey}
    >
      <div role="rowgroup" class="head">
        <div role="row" aria-rowindex={1}>
          {COLUMNS.map(([column, text]) => (
            <Head key={column} column={column} text={text} />
          ))}
          <div role="columnheader">
            <span class="said">Actions</span>
          </div>
        </div>
      </div>
      <div role="rowgroup" class="body" style={{ height: `${rows.length * rowHeight}px` }}>
        {places.map((place) => {
          const row = rows[place] as Row
          return (
            <NameRow
              key={row.key}
              row={row}
              place={place}
              top={place * rowHeight}
              seconds={seconds}
              isSelected={row.key === selected}
            />
          )
        })}
      </div>
      {rows.length === 0 && table.isReady && <Nothing />}
    </div>
  )
}

function rem(): number {
  return parseFloat(getComputedStyle(document.documentElement).fontSize)
}

function Nothing(): JSX.Element {
  return table.count('all') > 0 ? (
    <p class="nothing">No name fits the filter.</p>
  ) : (
    <p class="nothing">
      No name is open or cancelled. Try: <code>calloff run --name demo -- sleep 600</code>
    </p>
  )
}

function Head({ column, text }: { readonly column: Column; readonly text: string }): JSX.Element {
  const { column: current, isReversed } = view.wish
  const isCurrent = column === current
  return (
    <div role="columnheader" class={column} aria-sort={isCurrent ? (isReversed ? 'descending' : 'ascending') : 'none'}>
      <button type="button" onClick={() => wish({ column, isReversed: isCurrent && !isReversed })}>
        {text}
        <span aria-hidden="true" class="arrow">
          {isCurrent ? (isReversed ? '▼' : '▲') : ''}
        </span>
      </button>
    </div>
  )
}

/** The arrow keys go from name to name. */
function moveByKey(event: JSX.TargetedKeyboardEvent<HTMLElement>): void {
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
  const row = (event.target as Element).closest('.body > [role=row]')
  if (step === 0 || row === null) return
  const next = step > 0 ? row.nextElementSibling : row.previousElementSibling
  const button = next?.querySelector<HTMLElement>('.name button')
  if (!button) return
  event.preventDefault()
  button.focus({ preventScroll: true })
  next?.scrollIntoView({ block: 'nearest' })
}

interface RowProps {
  readonly row: Row
  readonly place: number
  readonly top: number
  /** The time in seconds. */
  readonly seconds: number
  readonly isSelected: boolean
}

class NameRow extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const { row, place, top, seconds, isSelected } = this.props
    return (
      row !== next.row ||
      place !== next.place ||
      top !== next.top ||
      seconds !== next.seconds ||
      isSelected !== next.isSelected
    )
  }

  override render({ row, place, top, seconds, isSelected }: RowProps): JSX.Element {
    const { key, title, listing, since } = row
    const why = listing.mark === null ? '' : markText(listing.mark)
    const holders = holdersText(row)
    return (
      <div
        role="row"
        aria-rowindex={place + 2}
        data-key={key}
        class={isSelected ? 'selected' : ''}
        style={{ transform: `translateY(${top}px)` }}
      >
        <div role="cell" class="name">
          <button
            type="button"
            title={title}
            aria-expanded={isSelected}
            onClick={() => select(isSelected ? undefined : listing)}
          >
            {title}
          </button>
        </div>
        <div role="cell" class="state">
          <StateBadge row={row} seconds={seconds} />
        </div>
        <div role="cell" class="holders" title={holders}>
          {holders}
        </div>
        <div role="cell" class="since">
          {Number.isNaN(since) ? '' : spanText(seconds * 1_000 - since)}
        </div>
        <div role="cell" class="why" title={why}>
          {listing.mark && briefMark(listing.mark)}
        </div>
        <div role="cell" class="act">
          {row.state === 'live' ? (
            <button
              type="button"
              class="stop"
              aria-label={`Stop ${title}`}
              onClick={() => ask({ kind: 'stop', topic: listing })}
            >
              Stop
            </button>
          ) : row.state === 'cancelled' ? (
            <button
              type="button"
              aria-label={`Forget ${title}`}
              onClick={() => ask({ kind: 'forget', topic: listing })}
            >
              Forget
            </button>
          ) : (
            <button type="button" aria-label={`Details of ${title}`} onClick={() => select(listing)}>
              Details
            </button>
          )}
        </div>
      </div>
    )
  }
}

/** Says at once what has not stopped, and since when. */
export function StateBadge({ row, seconds }: { readonly row: Row; readonly seconds: number }): JSX.Element {
  const { state, since, listing } = row
  if (state === 'stopping') {
    const passed = seconds * 1_000 - since
    const isLate = passed >= WORRY
    return (
      <span class={isLate ? 'badge late' : 'badge stopping'}>
        {isLate ? `not stopped for ${spanText(passed)}` : 'stopping'}
      </span>
    )
  }
  if (state === 'cancelled') return <span class="badge cancelled">cancelled</span>
  const { lease } = listing
  return <span class="badge live">{lease?.held === true ? `leased, fence ${lease.fence}` : 'live'}</span>
}

/** Describes the holders that have not finished, as far as there is room. */
function holdersText({ listing: { holders } }: Row): string {
  const here = holders.filter(({ state }) => state !== 'finished')
  const texts = here.slice(0, 10).map(({ host, pid, silent }) => `${visible(host)}:${pid}${silent ? ' (silent)' : ''}`)
  if (here.length > texts.length) texts.push('…')
  return here.length > 1 ? `${count(here.length, 'holder')}: ${texts.join(', ')}` : texts.join('')
}
