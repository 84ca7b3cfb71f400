import { tryAdapter } from '../adapter/cases.js'
import { postgresServer, skip, urlOf } from './server.js'

tryAdapter({
  name: 'PostgreSQL',
  skip,
  serve: () => postgresServer(),
  url: (port) => `${urlOf(port)}?table=public.tests`,
  connections: 1,
})
