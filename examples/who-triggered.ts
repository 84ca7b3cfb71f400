/** A chain of named tokens: wherever one looks, the answer says where it started and why. */
import { SimpleToken } from 'calloff'

const server = new SimpleToken({ name: 'server' })
const request = new SimpleToken({ name: 'request' }, server)
const query = new SimpleToken({ name: 'query' }, request)
const other = new SimpleToken({ name: 'other request' }, server)

query.onCancel((error) => console.log(`query stops: ${error.message}`))
request.cancel('the user has closed the page')

for (const token of [server, request, query, other]) {
  console.log(`${token.name}: ${token.cancelled ? `cancelled by ${token.cancelledBy?.name}` : 'goes on'}`)
}
console.log(query)
