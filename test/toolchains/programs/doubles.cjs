// What tokens go through in the tests of others, whoever runs them. `same` is how this tool compares.
exports.cases = function cases({ SimpleToken, TimeoutToken, CounterToken, anyOf, isCancellation }) {
  const live = () => new SimpleToken({ name: 'live' })
  return {
    live,
    /** One of each kind, alive and cancelled. */
    kinds: {
      simple: live(),
      timeout: new TimeoutToken(60_000),
      counter: new CounterToken(3),
      combined: anyOf(live(), new TimeoutToken(60_000)),
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
