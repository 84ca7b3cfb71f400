/** What is being done and how long it may still take: one line that is written over on a terminal, else one per group. */
export class Progress {
  #total
  #done = 0
  #begin = performance.now()
  #last = ''

  constructor(total) {
    this.#total = total
  }

  /** @param {string} group @param {string} peer */
  show(group, peer) {
    const count = `${String(this.#done).padStart(String(this.#total).length)}/${this.#total}`
    if (process.stdout.isTTY) {
      const each = (performance.now() - this.#begin) / (this.#done || 1)
      const left = this.#done ? `, about ${Math.ceil((each * (this.#total - this.#done)) / 1_000)} s left` : ''
      process.stdout.write(`\r\u001B[K  … ${count}  ${group}  ${peer}${left}`)
    } else if (group !== this.#last) console.log(`  … ${count}  ${group}`)
    this.#last = group
  }

  step() {
    this.#done++
  }

  end() {
    if (process.stdout.isTTY) process.stdout.write('\r\u001B[K')
  }
}
