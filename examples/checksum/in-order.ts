/**
 * Runs `work` on the items, some of them at the same time, and gives the results in the order of the items. When it ends,
 * by the last item, by an error or because the caller has had enough, nothing of it is still running.
 */
export async function* inOrder<T, R>(
  items: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = []
  try {
    for await (const item of items) {
      const result = work(item)
      result.catch(() => {}) // heard when its turn comes
      running.push(result)
      if (running.length >= atOnce) yield (await running.shift()) as R
    }
    while (running.length > 0) yield (await running.shift()) as R
  } finally {
    await Promise.allSettled(running)
  }
}
