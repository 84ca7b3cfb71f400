import { tryAdapter } from '../adapter/cases.js'
import { redisServer, skip } from './server.js'

tryAdapter({
  name: 'Redis',
  skip,
  serve: () => redisServer(),
  url: (port) => `redis://127.0.0.1:${port}/?prefix=tests`,
  connections: 2,
})
