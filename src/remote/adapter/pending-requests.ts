/** What was asked over a connection, and is not answered yet: all of it rejects when the connection is gone (E12). */
export class Pending {
  #over: Error | undefined
  readonly #waiting = new Set<(error: Error) => void>()

  /** Why nothing can be asked any more. */
  get over(): Error | undefined {
    return this.#over
  }

  /** Settles as the answer does, or rejects when the connection is gone, whatever comes first. */
  ask<T>(send: () => Promise<T>): Promise<T> {
    if (this.#over) return Promise.reject(this.#over)
    // Not a race against one promise for all of them, which would keep something of each for as long as the connection lives.
    return new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject)
      const settled =
        <Outcome>(settle: (outcome: Outcome) => void) =>
        (outcome: Outcome) => {
          this.#waiting.delete(reject)
          settle(outcome)
        }
      send().then(settled(resolve), settled(reject))
    })
  }

  /** The connection is gone. False if that was said before. */
  end(error: Error): boolean {
    if (this.#over) return false
    this.#over = error
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
    return true
  }
}
