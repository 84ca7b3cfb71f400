import { isCancellation } from 'calloff'
import { currentToken, ProcessSignalToken, withToken } from 'calloff/node'

const token = new ProcessSignalToken('SIGINT', 'SIGTERM')

try {
  withToken(token, () => currentToken().check())
} catch (error) {
  if (!isCancellation(error, token)) throw error
  process.exitCode = token.exitCode
}
