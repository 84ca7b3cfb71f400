/** Requests that come twice, too early, too late, or under a name that is not theirs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { manualClock } from 'calloff/testing'
import { eventsOf, eventually, get, post, type Sent, start, until, type World } from './world.js'

/** Opens a hold, and waits until it is a holder. */
async function holdOf(world: World, name: string, headers: Record<string, string> = {}) {
  const events = eventsOf(await get(world, `/v1/hold?name=${name}`, { headers }))
  const { hold } = (await until(events, 'open')).data as { hold: string }
  return { hold, events }
}

const stateOf = async ({ hub }: World, name: string) => {
  const [listing] = await hub.list(name)
  return listing?.holders.map(({ state }) => state)
}

describe('replays', () => {
  it('a cancel that comes twice keeps the first reason, and is told once', async () => {
    await using world = await start()
    const stream = eventsOf(await get(world, '/v1/events'))
    await until(stream, 'ready')
    const seen: string[] = []
    for (const reason of ['first', 'second']) {
      const response = await post(world, '/v1/cancel?name=a', { reason })
      assert.equal(response.status, 200)
      const receipt = (await response.json()) as { mark: { reason: unknown } }
      assert.equal(receipt.mark.reason, 'first')
    }
    await world.hub.cancel('b')
    for (let name = ''; name !== 'b';) {
      name = ((await until(stream, 'cancelled', 'changed')).data as { name: string }).name
      seen.push(name)
    }
    assert.deepEqual(seen, ['a', 'b'])
    await stream.return(undefined)
  })

  it('an acknowledgement counts once there is a cancel, and then as often as it comes', async () => {
    await using world = await start()
    const { hold, events } = await holdOf(world, 'job')
    await until(events, 'ready')
    assert.equal((await post(world, `/v1/holds/acknowledge?hold=${hold}`)).status, 204)
    await world.hub.cancel('job')
    await until(events, 'cancelled')
    // The token of the hold has heard of it by now, and so has the hub, if it was told.
    await world.hub.list()
    assert.deepEqual(await stateOf(world, 'job'), ['open'])
    for (let time = 0; time < 2; time++) {
      assert.equal((await post(world, `/v1/holds/acknowledge?hold=${hold}`)).status, 204)
      await eventually(async () => (await stateOf(world, 'job'))?.[0] === 'acknowledged')
    }
    await events.return(undefined)
  })

  it('a finish counts once; what comes later knows no such hold', async () => {
    await using world = await start()
    const { hold, events } = await holdOf(world, 'job')
    assert.equal((await post(world, `/v1/holds/finish?hold=${hold}`)).status, 204)
    for (const action of ['finish', 'acknowledge']) {
      const response = await post(world, `/v1/holds/${action}?hold=${hold}`)
      assert.equal(response.status, 404)
    }
    while (!(await events.next()).done);
    const again = await holdOf(world, 'job', { 'last-event-id': hold })
    assert.notEqual(again.hold, hold)
    await again.events.return(undefined)
  })

  it('an id of a hold that was made up is not known', async () => {
    await using world = await start()
    const { hold, events } = await holdOf(world, 'job')
    const forged = [
      '',
      ' ',
      hold.toUpperCase(),
      `${hold} `,
      hold.slice(1),
      '__proto__',
      'constructor',
      '*',
      'x'.repeat(5_000),
    ]
    for (const id of forged) {
      for (const action of ['finish', 'acknowledge']) {
        assert.equal((await post(world, `/v1/holds/${action}?hold=${encodeURIComponent(id)}`)).status, 404, id)
      }
    }
    for (const action of ['finish', 'acknowledge']) assert.equal((await post(world, `/v1/holds/${action}`)).status, 404)
    assert.equal((await stateOf(world, 'job'))?.length, 1)
    await events.return(undefined)
  })

  it('the id of a hold opens no hold of another name or run', async () => {
    await using world = await start()
    const { hold, events } = await holdOf(world, 'job')
    for (const name of ['other', 'job&runId=1', 'jo']) {
      const other = await holdOf(world, name, { 'last-event-id': hold })
      assert.notEqual(other.hold, hold)
      await other.events.return(undefined)
    }
    await world.hub.cancel('other')
    await world.hub.cancel('job')
    await until(events, 'cancelled')
    await events.return(undefined)
  })

  it('a second stream of a hold ends the first, and is told all again', async () => {
    await using world = await start()
    const { hold, events } = await holdOf(world, 'job')
    await world.hub.cancel('job', 'stop')
    await until(events, 'cancelled')
    const second = await holdOf(world, 'job', { 'last-event-id': hold })
    assert.equal(second.hold, hold)
    while (!(await events.next()).done);
    const mark = (await until(second.events, 'cancelled')).data as { reason: unknown }
    assert.equal(mark.reason, 'stop')
    assert.equal((await stateOf(world, 'job'))?.length, 1)
    await second.events.return(undefined)
  })
})

describe('ids of events', () => {
  it('one that was made up, or is of another feed or server, begins with a reset', async () => {
    await using world = await start()
    await using elsewhere = await start()
    const idOf = async (from: World, query: string): Promise<Sent> => {
      const stream = eventsOf(await get(from, `/v1/events?${query}`))
      const ready = await until(stream, 'ready')
      await stream.return(undefined)
      return ready
    }
    const id = (await idOf(world, '')).id as string
    const feed = id.replace(/-\d+$/, '')
    const forged = [
      (await idOf(world, 'prefix=a')).id as string,
      (await idOf(world, 'name=a')).id as string,
      (await idOf(elsewhere, '')).id as string,
      'reset',
      '0',
      '-1',
      `${feed}-`.slice(0, -2),
      `${feed}--1`,
      `${feed}-1e3`,
      `${feed}-999`,
      `${feed}-${'9'.repeat(400)}`,
      `${feed}-Infinity`,
      `${feed}-NaN`,
      `${feed}-0.5`,
      'x'.repeat(8_000),
      '../../etc/passwd',
      '<script>',
      '\u00FF',
    ]
    for (const one of forged) {
      for (const headers of [{ 'last-event-id': one }, undefined]) {
        const target = headers ? '/v1/events' : `/v1/events?after=${encodeURIComponent(one)}`
        const stream = eventsOf(await get(world, target, headers ? { headers } : {}))
        assert.equal((await stream.next()).value?.event, 'reset', one)
        await stream.return(undefined)
      }
    }
    const stream = eventsOf(await get(world, '/v1/events', { headers: { 'last-event-id': id } }))
    const next = stream.next()
    await world.hub.cancel('a')
    assert.equal((await next).value?.event, 'cancelled', 'and its own goes on')
    await stream.return(undefined)
    assert.deepEqual(world.errors, [])
  })

  it('a client that comes back is answered at once, though nothing has changed', async () => {
    using clock = manualClock()
    await using world = await start()
    const first = eventsOf(await get(world, '/v1/events'))
    const { id } = await until(first, 'ready')
    await first.return(undefined)
    // The clock stands still, so no heartbeat brings the answer.
    const response = await get(world, '/v1/events', { headers: { 'last-event-id': id as string } })
    assert.equal(response.status, 200)
    assert.equal(clock.now, 0)
    await response.body?.cancel()
  })

  it('a client that is cut off before it has the table never goes on in the middle of it', async () => {
    await using world = await start()
    await using other = await start()
    await world.hub.cancel('a')
    const first = eventsOf(await get(world, '/v1/events'))
    const { id } = await until(first, 'ready')
    await first.return(undefined)
    // Another server begins with a table, of which only the beginning arrives.
    const second = eventsOf(await get(other, '/v1/events', { headers: { 'last-event-id': id as string } }))
    const reset = (await second.next()).value as Sent
    await second.return(undefined)
    assert.equal(reset.event, 'reset')
    const third = eventsOf(await get(world, '/v1/events', { headers: { 'last-event-id': reset.id ?? (id as string) } }))
    assert.equal((await third.next()).value?.event, 'reset')
    await third.return(undefined)
  })

  it('a burst of more changes than are kept begins again on the same stream, and cuts off no one', async () => {
    await using world = await start({ limits: { changes: 5 } })
    const stream = eventsOf(await get(world, '/v1/events'))
    await until(stream, 'ready')
    await Promise.all(Array.from({ length: 500 }, (_, at) => world.hub.cancel(`name-${at}`)))
    const names = new Set<string>()
    while (names.size < 500) {
      const { data, event } = await until(stream, 'cancelled', 'reset')
      if (event === 'reset') names.clear()
      else names.add((data as { name: string }).name)
    }
    await stream.return(undefined)
  })
})
