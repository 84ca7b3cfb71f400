/**
 * Lets so many through at a time. A server that is asked more than it can queue drops requests without a word, and what is
 * dropped is only missed when its time is up.
 */
export class Gate {
  readonly #most: number
  #inside = 0
  readonly #waiting: (() => void)[] = []
  #first = 0

  constructor(most: number) {
    this.#most = most
  }

  async pass<T>(what: () => Promise<T>): Promise<T> {
    if (this.#inside < this.#most) this.#inside++
    // Who leaves hands on his place.
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await what()
    } finally {
      this.#leave()
    }
  }

  #leave(): void {
    const next = this.#waiting[this.#first]
    if (!next) {
      this.#inside--
      return
    }
    this.#first++
    if (this.#first === this.#waiting.length) {
      this.#waiting.length = 0
      this.#first = 0
    }
    next()
  }
}
