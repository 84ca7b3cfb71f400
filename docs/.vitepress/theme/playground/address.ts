import { ref, watch, type Ref } from 'vue'

const KEY = '#state='

function read(): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(decodeURIComponent(location.hash.slice(KEY.length)))
    return location.hash.startsWith(KEY) && typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    // What others have written into the address is no reason to fail.
    return {}
  }
}

/** A value that the address keeps, so that a link shows the page as it is. What is read from there passes `accepts`. */
export function kept<T>(name: string, first: T, accepts: (value: unknown) => value is T): Ref<T> {
  const { [name]: found } = read()
  const value = ref(accepts(found) ? found : first) as Ref<T>
  watch(
    value,
    (now) =>
      history.replaceState(history.state, '', KEY + encodeURIComponent(JSON.stringify({ ...read(), [name]: now }))),
    { deep: true },
  )
  return value
}

/** A button that copies the address of the page, and says for two seconds whether that was allowed. */
export function useLink(): { readonly label: Ref<string>; copy(): Promise<void> } {
  const first = 'Copy link'
  const label = ref(first)
  return {
    label,
    async copy() {
      try {
        await navigator.clipboard.writeText(location.href)
        label.value = 'Copied'
      } catch {
        label.value = 'Copy the address'
      }
      setTimeout(() => (label.value = first), 2_000)
    },
  }
}
