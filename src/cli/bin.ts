#!/usr/bin/env node
import process from 'node:process'
import { main } from './main.js'

const outcome = await main(process.argv.slice(2))
if (typeof outcome === 'string') process.kill(process.pid, outcome)
else process.exitCode = outcome
