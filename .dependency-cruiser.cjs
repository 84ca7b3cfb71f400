/**
 * Imports run downwards only. `import type` alone leaves nothing at run time, so it is free to point upwards.
 *
 * @type {import('dependency-cruiser').IConfiguration}
 */
const atRunTime = { dependencyTypesNot: ['type-only'] }
const npm = ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown']

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: atRunTime },
    },
    {
      name: 'everything-resolves',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-dependencies',
      comment: 'The package has none at run time.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/remote/nats/' },
      to: { dependencyTypes: npm },
    },
    {
      name: 'nats-knows-its-client',
      comment: 'What runs is loaded by library.ts, when it is needed.',
      severity: 'error',
      from: { path: '^src/remote/nats/', pathNot: '/library\\.ts$' },
      to: { dependencyTypes: npm, ...atRunTime },
    },
    {
      name: 'nats-knows-no-other-client',
      severity: 'error',
      from: { path: '^src/remote/nats/' },
      to: { dependencyTypes: npm, pathNot: '^node_modules/@nats-io/(jetstream|transport-node)/' },
    },
    {
      name: 'core-stands-alone',
      severity: 'error',
      from: { path: '^src/core/' },
      to: { pathNot: '^src/core/' },
    },
    {
      name: 'universal-part-knows-no-node',
      severity: 'error',
      from: { path: '^src/(core/|testing/|threads/|index\\.ts$)' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'universal-face-leads-to-core-only',
      comment: 'What a conformance suite tries is given to it; it knows the types alone.',
      severity: 'error',
      from: { path: '^src/(testing/|index\\.ts$)' },
      to: { pathNot: '^src/(core|testing)/', ...atRunTime },
    },
    {
      name: 'siblings-do-not-meet',
      comment: 'node, threads and remote meet only through what the core gives to all of them.',
      severity: 'error',
      from: { path: '^src/(node|threads|remote)/' },
      to: { path: '^src/(node|threads|remote|cli|testing)/', pathNot: '^src/$1/' },
    },
    {
      name: 'cli-uses-public-faces',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: { path: '^src/', pathNot: '^src/(cli/|index\\.ts$|[^/]+/index\\.ts$)' },
    },
    {
      name: 'nothing-uses-the-cli',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^src/cli/' },
    },
    {
      name: 'clock-and-errors-are-the-ground',
      severity: 'error',
      from: { path: '^src/core/(clock|errors)\\.ts$' },
      to: { path: '.', ...atRunTime },
    },
    {
      name: 'graph-rests-on-the-ground',
      severity: 'error',
      from: { path: '^src/core/graph\\.ts$' },
      to: { pathNot: '^src/core/(clock|errors)\\.ts$', ...atRunTime },
    },
    {
      name: 'token-knows-no-kinds',
      comment: 'A kind of token builds on the base class; the base class does not know its kinds.',
      severity: 'error',
      from: { path: '^src/core/token\\.ts$' },
      to: { path: '^src/core/tokens/', ...atRunTime },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.build.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import', 'default'] },
  },
}
