// The same program with 'calloff/node' imported first.
import 'calloff/node'
import './async-context.child.js'
