/** A library function takes an optional token; a caller tightens the one it was given for the part it calls. */
import { type CancellationToken, isCancellation, NEVER, TimeoutToken } from 'calloff'

/** The library: without a token it never ends early, and pays nothing for that. */
export async function download(pages: number, token: CancellationToken = NEVER): Promise<string[]> {
  const done: string[] = []
  for (let page = 1; page <= pages; page++) {
    await token.sleep(20) // stands for a request
    done.push(`page ${page}`)
  }
  return done
}

/** The caller: the whole of what it does is under `token`, this part has 100 ms at most. */
async function preview(token: CancellationToken): Promise<string[]> {
  const quick = new TimeoutToken(100, { name: 'preview' }, token)
  try {
    return await download(1_000, quick)
  } catch (error) {
    if (token.cancelled || !isCancellation(error, quick)) throw error // not ours to handle
    return ['no preview']
  }
}

console.log(await download(3))
const request = new TimeoutToken(60_000, { name: 'request' })
console.log(await preview(request), `request cancelled: ${request.cancelled}`)
