// The token of editors and language servers. It does not derive.
import jsonrpc from 'vscode-jsonrpc/node'

const { CancellationTokenSource, SharedArrayReceiverStrategy, SharedArraySenderStrategy } = jsonrpc
const sender = new SharedArraySenderStrategy()
const receiver = new SharedArrayReceiverStrategy()
let requests = 0

/** @type {import('./index.mjs').Peer} */
const vscode = {
  name: 'vscode-jsonrpc',
  create() {
    const source = new CancellationTokenSource()
    void source.token
    return source
  },
  token: (source) => source.token,
  cancel: (source) => source.cancel(),
  polls(tokens, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (tokens[i & 7].isCancellationRequested) over++
    return over
  },
  pollsOne(token, times) {
    let over = 0
    for (let i = 0; i < times; i++) if (token.isCancellationRequested) over++
    return over
  },
  listen: (token, listener) => token.onCancellationRequested(listener),
  unlisten: (_token, handle) => handle.dispose(),
  // Its tokens in shared memory belong to requests.
  reaches: 'vscode-jsonrpc',
  shared() {
    const request = { id: ++requests }
    sender.enableCancellation(request)
    return request
  },
  handle: (request) => request.$cancellationData,
  opened: (buffer) => receiver.createCancellationTokenSource({ $cancellationData: buffer }).token,
  sharedCancel({ id }) {
    void sender.sendCancellation(undefined, id)
    sender.cleanup(id)
  },
  spin(token) {
    while (!token.isCancellationRequested);
  },
}

export const peers = [vscode]
