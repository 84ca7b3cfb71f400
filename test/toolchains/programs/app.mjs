import { everyday } from './everyday.mjs'
import { onNode } from './on-node.mjs'

async function main() {
  const found = await everyday()
  console.log(`found ${JSON.stringify({ ...found, ...(await onNode()) })}`)
}

main()
