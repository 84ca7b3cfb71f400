#!/usr/bin/env node
import process from 'node:process'
import { codeOfSignal } from './terminal/exit-codes.js'
import { main } from './main.js'

const outcome = await main(process.argv.slice(2))
// The handlers are removed by now, so the signal ends this process.
if (typeof outcome === 'string') process.kill(process.pid, outcome)
// All output was written by now. Open resources, such as a connection in progress, are not needed.
process.exit(typeof outcome === 'string' ? codeOfSignal(outcome) : outcome)
