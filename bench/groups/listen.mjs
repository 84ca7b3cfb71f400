import { fresh } from '../measure/fresh.mjs'

/** @type {import('./index.mjs').Group[]} */
export const groups = [0, 1_000].map((others) => ({
  name: others ? `listen-${others}` : 'listen',
  title: `add and remove a listener${others ? `, beside ${others.toLocaleString('en')} others` : ''}`,
  references: ['native'],
  needs: ['create', 'listen', 'unlisten'],
  make(peer) {
    const source = peer.create()
    const token = peer.token(source)
    // Functions of their own: the platform takes the same one only once.
    const handles = Array.from({ length: others }, (_, at) => peer.listen(token, () => at))
    let heard = 0
    const listener = () => heard++
    const loop = fresh((listen, unlisten, token, listener) => (times) => {
      for (let i = 0; i < times; i++) unlisten(token, listen(token, listener))
    })
    return {
      peer: peer.name,
      run: loop(peer.listen, peer.unlisten, token, listener),
      alive: [source, handles, () => heard],
    }
  },
}))
