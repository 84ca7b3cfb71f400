import { isCancellation } from 'calloff'
import { currentToken, once, pipeline, ProcessError, ProcessSignalToken, run, withToken } from 'calloff/node'

const token = new ProcessSignalToken('SIGINT', 'SIGTERM')

try {
  withToken(token, () => currentToken().check())
} catch (error) {
  if (!isCancellation(error, token)) throw error
  process.exitCode = token.exitCode
}

try {
  const { stdout } = await run('ls', ['-l'], { token, grace: 1_000 })
  await pipeline([stdout], process.stdout, { token })
  await once(process, 'message', token)
} catch (error) {
  if (error instanceof ProcessError) process.exitCode = error.report?.code ?? 1
}
