/**
 * Mounts a component that shows `load(id, token)`, and prints what it showed and what its requests were told.
 * `node --conditions=browser component.mjs react|vue|svelte <compiled component> <its load.js>`
 *
 * The answer for 2 comes at once, all others never. So 1 is replaced while it is pending, the Stop button is pressed while 3 is
 * pending, and 4 is pending when the component is removed.
 */
import process from 'node:process'
import { Window } from 'happy-dom'

const [framework, file, requests, reactive] = process.argv.slice(2)
const page = new Window()
// Frameworks look for these when they are imported.
for (const name of [...Object.getOwnPropertyNames(page), 'document']) {
  if (!(name in globalThis)) globalThis[name] = page[name]
}
globalThis.window = globalThis
const target = document.createElement('div')

const mounts = {
  async react(Component) {
    globalThis.IS_REACT_ACT_ENVIRONMENT = true
    const { act, createElement } = await import('react')
    const { createRoot } = await import('react-dom/client')
    const root = createRoot(target)
    return {
      show: (id) => act(async () => root.render(createElement(Component, { id }))),
      press: (button) => act(async () => button.click()),
      remove: () => act(async () => root.unmount()),
    }
  },
  async vue(Component) {
    const { createApp, h, nextTick, shallowRef } = await import('vue')
    const id = shallowRef(1)
    const app = createApp({ render: () => h(Component, { id: id.value }) })
    let isMounted = false
    return {
      async show(next) {
        id.value = next
        if (!isMounted) app.mount(target)
        isMounted = true
        await nextTick()
      },
      press: (button) => button.click(),
      remove: () => app.unmount(),
    }
  },
  async svelte(Component) {
    const { flushSync, mount, unmount } = await import('svelte')
    const { props } = await import(reactive)
    let mounted
    return {
      show(next) {
        props.id = next
        mounted ??= mount(Component, { target, props })
        flushSync()
      },
      press: (button) => button.click(),
      remove: () => unmount(mounted),
    }
  },
}

const { default: Component } = await import(file)
const { told } = await import(requests)
const { show, press, remove } = await mounts[framework](Component)
const turn = () => new Promise((resolve) => void setTimeout(resolve))
const shown = []
const note = async () => {
  await turn()
  shown.push(target.querySelector('p').textContent)
}
for (const id of [1, 2, 3]) {
  await show(id)
  await note()
}
await press(target.querySelector('button'))
await note()
await show(4)
await remove()
await turn()
console.log(JSON.stringify({ shown, told }))
// The window has timers of its own.
process.exit()
