/** Preloaded, it has calloff ask `ps`, as it does where there is no `/proc`. */
import process from 'node:process'

Object.defineProperty(process, 'platform', { value: 'darwin' })
