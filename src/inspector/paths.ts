/** Paths of nodes: names from the top of the tree to the node, `server/import/fetchPages`. */
import type { NodeReport } from './report.js'

/** Returns how a path writes a node: by its name, or by its id if it has none. */
export function stepOf({ name, id }: NodeReport): string {
  return name || `@${id}`
}

/** Returns the nodes that a path may mean: `@12`, or the names from any ancestor down to it. */
export function nodesAt(path: string, nodes: readonly NodeReport[]): readonly NodeReport[] {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const isEnd = (node: NodeReport, rest: string, seen: ReadonlySet<number>): boolean => {
    const own = [`@${node.id}`, ...(node.name ? [node.name] : [])]
    return own.some((step) => {
      if (rest === step) return true
      if (!rest.endsWith(`/${step}`) || seen.size > DEEPEST) return false
      const above = rest.slice(0, -step.length - 1)
      return parentsOf(node).some((parent) => !seen.has(parent.id) && isEnd(parent, above, new Set([...seen, node.id])))
    })
  }
  const parentsOf = (node: NodeReport) => node.parents.flatMap((id) => byId.get(id) ?? [])
  return nodes.filter((node) => isEnd(node, path, new Set()))
}

/** Returns the path of a node from the top, through its first parents. */
export function pathTo(node: NodeReport, nodes: readonly NodeReport[]): string {
  const byId = new Map(nodes.map((one) => [one.id, one]))
  const steps: string[] = []
  for (let at: NodeReport | undefined = node; at && steps.length < DEEPEST; at = byId.get(at.parents[0] ?? -1)) {
    steps.unshift(stepOf(at))
  }
  return steps.join('/')
}

const DEEPEST = 50
