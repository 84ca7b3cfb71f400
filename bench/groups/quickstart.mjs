/** @type {import('./index.mjs').Group[]} */
export const groups = [
  {
    name: 'quickstart',
    title: "one turn of the README's loop: a condition, a counter and a timeout in one sum",
    references: ['floor: by hand'],
    needs: ['quickstart'],
    make: (peer) => ({
      peer: peer.name,
      run(times) {
        const turns = peer.quickstart(times)
        if (turns !== times) throw new Error(`${peer.name}: ${turns} turns where ${times} were due`)
        return turns
      },
    }),
  },
]
