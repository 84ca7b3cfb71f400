import { tryAdapter } from '../adapter/cases.js'
import { natsServer, skip } from './server.js'

tryAdapter({
  name: 'NATS',
  skip,
  serve: () => natsServer(),
  url: (port) => `nats://127.0.0.1:${port}/tests`,
  connections: 1,
})
