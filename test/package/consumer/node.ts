import { isCancellation } from 'calloff'
import { ProcessSignalToken } from 'calloff/node'

const token = new ProcessSignalToken('SIGINT', 'SIGTERM')

try {
  token.check()
} catch (error) {
  if (!isCancellation(error, token)) throw error
  process.exitCode = token.exitCode
}
