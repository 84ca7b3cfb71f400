#!/usr/bin/env node
import process from 'node:process'
import { codeOfSignal } from './terminal/exit-codes.js'
import { main } from './main.js'

const outcome = await main(process.argv.slice(2))
// Nobody listens to it any more, so it ends us.
if (typeof outcome === 'string') process.kill(process.pid, outcome)
// All was written by now. What is still open (a connection that is being made) is of no use to anybody.
process.exit(typeof outcome === 'string' ? codeOfSignal(outcome) : outcome)
