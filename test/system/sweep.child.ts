/** Lends a token and closes it again: the first lender of a process removes what killed lenders have left in the temporary folder. */
import { SimpleToken } from 'calloff'
import { lendToken } from 'calloff/node'

const lent = await lendToken(new SimpleToken())
console.log('lent')
await lent.close()
