// Type-checks everything with the compiler named (a folder of node_modules): the universal part without any types of
// Node, the whole library, the tests and examples against the built declarations, and all of it as an editor sees it.
import { build, compile } from './build.mjs'
import { ensureInstalled } from './installed.mjs'

ensureInstalled()
const compiler = process.argv[2] ?? 'typescript'
// The two in the middle are what the build compiles, with the native compiler.
const built = compiler === 'typescript-7' ? [] : ['tsconfig.build.json', 'tsconfig.test.json']
const projects = ['tsconfig.core.json', ...built, 'tsconfig.json']

// The tests import the package by its own name, so its declarations have to be there.
if (!build({ ifStale: true })) process.exit(1)
for (const project of projects) {
  if (!compile(project, { compiler, noEmit: true })) process.exitCode = 1
}
