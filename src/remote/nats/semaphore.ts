/**
 * Limits the number of concurrent requests. A server that receives more requests than it can queue drops some silently, and a dropped
 * request is only noticed when it times out.
 */
export class Semaphore {
  #inside = 0
  readonly #urgent = new Queue()
  readonly #others = new Queue()

  constructor(private readonly most: number) {}

  /** An urgent request goes before all others that wait. */
  async run<T>(isUrgent: boolean, what: () => Promise<T>): Promise<T> {
    if (this.#inside < this.most) this.#inside++
    // A finished request passes its place to the next.
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

/** A queue, first in first out. Each operation takes constant time. */
class Queue {
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
