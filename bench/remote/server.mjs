// A process with an embedded server.
import { TokenServer } from 'calloff/remote'
import { heap } from '../measure/runtime.mjs'
import { obey } from './lines.mjs'

obey({
  async listen(options) {
    const { url } = await TokenServer.listen(options)
    return { url }
  },
  weigh: async () => ({ bytes: await heap() }),
})
