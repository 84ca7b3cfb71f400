import { tryAdapter } from './adapter.js'
import { postgresServer, skip, urlOf } from './postgres-server.js'

tryAdapter({
  name: 'PostgreSQL',
  skip,
  serve: () => postgresServer(),
  url: (port) => `${urlOf(port)}?table=public.tests`,
  connections: 1,
})
