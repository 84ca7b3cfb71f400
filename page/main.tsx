import { render } from 'preact'
import { App } from './app.js'
import { drawWith, feed, invalidate, server } from './state.js'

server.takeToken()
addEventListener('hashchange', () => {
  if (server.takeToken()) feed.start()
})
feed.start()

const root = document.querySelector('main') as HTMLElement
addEventListener('resize', invalidate)
drawWith(() => render(<App />, root))
