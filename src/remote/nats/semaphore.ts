/**
 * Lets so many through at a time. A server that is asked more than it can queue drops requests without a word, and what is
 * dropped is only missed when its time is up.
 */
export class Gate {
  readonly #most: number
  #inside = 0
  readonly #urgent = new Line()
  readonly #others = new Line()

  constructor(most: number) {
    this.#most = most
  }

  /** Whoever is urgent goes before all others that wait. */
  async pass<T>(isUrgent: boolean, what: () => Promise<T>): Promise<T> {
    if (this.#inside < this.#most) this.#inside++
    // Who leaves hands on his place.
    else await new Promise<void>((resolve) => (isUrgent ? this.#urgent : this.#others).push(resolve))
    try {
      return await what()
    } finally {
      const next = this.#urgent.shift() ?? this.#others.shift()
      if (next) next()
      else this.#inside--
    }
  }
}

/** First come, first served, at the same cost however many wait. */
class Line {
  readonly #waiting: (() => void)[] = []
  #first = 0

  push(one: () => void): void {
    this.#waiting.push(one)
  }

  shift(): (() => void) | undefined {
    const one = this.#waiting[this.#first++]
    if (this.#first >= this.#waiting.length) {
      this.#waiting.length = 0
      this.#first = 0
    }
    return one
  }
}
