// Which processes a run takes: one for each group and peer, with the references of the group beside the peer in each.
import { groups, takesPart } from './groups/index.mjs'
import { files, load } from './peers/index.mjs'

/** @typedef {{ group: import('./groups/index.mjs').Group, subject: string, peers: { file: string, name: string }[] }} Step */

/** Every peer, with its file. */
async function everybody() {
  const found = []
  for (const file of files) for (const peer of await load(file)) found.push({ file, peer })
  return found
}

/**
 * @param {{ group?: string | undefined, peer?: string | undefined, mode: 'quick' | 'full' }} choice Parts of names, with commas between.
 * @returns {Promise<{ steps: Step[], verify: { file: string, name: string }[] }>}
 */
export async function plan({ group, peer, mode }) {
  const matches = (wanted, name) => wanted === undefined || wanted.split(',').some((part) => name.includes(part))
  const all = await everybody()
  const steps = []
  const needed = new Set()
  for (const one of groups.filter(({ name }) => matches(group, name))) {
    const references = (mode === 'quick' ? one.quickReferences : undefined) ?? one.references
    const able = all.filter((each) => takesPart(each.peer, one))
    const beside = able.filter((each) => references.includes(each.peer.name))
    // A reference of the full run is not made a subject of the quick one.
    const isSubject = ({ peer }) => !one.references.includes(peer.name) && !isFloor(peer, one)
    const subjects = able.filter((each) => isSubject(each) && matches(peer, each.peer.name))
    const alone = (one.alone ?? subjects.length === 0) && beside.some((each) => matches(peer, each.peer.name))
    for (const subject of alone ? [undefined, ...subjects] : subjects) {
      const those = subject ? [...beside, subject] : beside
      for (const each of those) needed.add(each)
      steps.push({
        group: one,
        subject: subject?.peer.name ?? 'references',
        peers: those.map((each) => ({ file: each.file, name: each.peer.name })),
      })
    }
  }
  return { steps, verify: [...needed].map((each) => ({ file: each.file, name: each.peer.name })) }
}

/** A floor belongs to the groups that name it, but for one that is there for that group alone. */
function isFloor(peer, group) {
  return peer.name.startsWith('floor') && !peer.only?.includes(group.name)
}
