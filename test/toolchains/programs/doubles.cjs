// What tokens go through in the tests of others, whoever runs them. `same` is how this tool compares.
exports.cases = function cases({ SimpleToken, TimeoutToken, CounterToken, anyOf, isCancellation }) {
  const live = () => new SimpleToken({ name: 'live' })
  /** What a structural comparison would walk: parents, levels, listeners in rings, a signal. */
  const connected = () => {
    let token = anyOf(...Array.from({ length: 100 }, live))
    for (let level = 0; level < 100; level++) token = new SimpleToken(token)
    for (let listener = 0; listener < 100; listener++) token.onCancel(() => {})
    return token.signal.aborted ? undefined : token
  }
  return {
    live,
    /** One of each kind, alive and cancelled. */
    kinds: {
      simple: live(),
      timeout: new TimeoutToken(60_000),
      counter: new CounterToken(3),
      combined: anyOf(live(), new TimeoutToken(60_000)),
      connected: connected(),
      cancelled: new SimpleToken({ name: 'gone' }).cancel('why'),
    },
    /** Under fake timers, all of them: what is pending settles with a cancel; `advance` moves the clock. */
    async faked(advance) {
      const found = []
      const token = live()
      const pending = [
        token.race(new Promise(() => {})),
        token.race(() => new Promise(() => {})),
        token.sleep(1_000),
        token.wait(),
        (async () => {
          for await (const _ of token.every(1_000)) continue
          return 'ended'
        })(),
      ].map((one) =>
        Promise.resolve(one).then(
          (value) => found.push(value === 'ended' || value === token.error),
          (error) => found.push(isCancellation(error, token)),
        ),
      )
      await null
      token.cancel('stop')
      await Promise.all(pending)
      const timed = new TimeoutToken(5_000)
      const waiting = timed.wait()
      const isEarly = timed.cancelled
      await advance(5_000)
      return [...found, isEarly, timed.cancelled, (await waiting).kind].join()
    },
    wanted: 'true,true,true,true,true,false,true,timeout',
  }
}
