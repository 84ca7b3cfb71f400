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
      name: 'no-folder-cycles',
      comment: 'Folders too, and types too: a reader can start at the bottom and never has to go back up.',
      severity: 'error',
      scope: 'folder',
      from: { path: '^src/(remote|node|cli)/' },
      to: { circular: true },
    },
    {
      name: 'everything-resolves',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'one-dependency',
      comment:
        'The package has one at run time: what Windows needs to start a program. See docs/internals/decisions/tinyexec.md.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(opentelemetry|remote/(nats|postgres|redis))/' },
      to: { dependencyTypes: npm, pathNot: '^node_modules/tinyexec/' },
    },
    {
      name: 'dependency-of-the-node-part',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/node/processes/spawn\\.ts$' },
      to: { path: '^node_modules/tinyexec/' },
    },
    {
      name: 'adapters-know-their-client-alone',
      comment: 'Its types; what runs is given by the user, or loaded by url.ts or library.ts when it is needed.',
      severity: 'error',
      from: { path: '^src/remote/(nats|postgres|redis)/', pathNot: '/(url|library)\\.ts$' },
      to: { dependencyTypes: npm, ...atRunTime },
    },
    {
      name: 'redis-knows-its-clients',
      severity: 'error',
      from: { path: '^src/remote/redis/' },
      to: { dependencyTypes: npm, pathNot: '^node_modules/(ioredis|redis)/' },
    },
    {
      name: 'nats-knows-its-client',
      severity: 'error',
      from: { path: '^src/remote/nats/' },
      to: { dependencyTypes: npm, pathNot: '^node_modules/@nats-io/(jetstream|transport-node)/' },
    },
    {
      name: 'postgres-knows-its-client',
      severity: 'error',
      from: { path: '^src/remote/postgres/' },
      to: { dependencyTypes: npm, pathNot: '^node_modules/(@types/)?pg/' },
    },
    {
      name: 'opentelemetry-knows-its-api-alone',
      comment: 'The SDK is the choice of the program.',
      severity: 'error',
      from: { path: '^src/opentelemetry/' },
      to: { pathNot: '^(src/(opentelemetry|core)/|node_modules/@opentelemetry/api/)' },
    },
    {
      name: 'opentelemetry-is-loaded-by-its-users',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/opentelemetry/' },
      to: { path: '^src/opentelemetry/', ...atRunTime },
    },
    {
      name: 'http-knows-the-contract-of-a-hub',
      comment:
        'The hub is given to it, so it runs wherever a hub can be reached. Names and limits are checked by the contract itself.',
      severity: 'error',
      from: { path: '^src/http/' },
      to: { pathNot: '^src/(http|core)/|^src/remote/contract/(topic|limits|errors)\\.ts$', ...atRunTime },
    },
    {
      name: 'http-client-stands-on-the-core',
      severity: 'error',
      from: { path: '^src/http/client/' },
      to: { pathNot: '^src/(http/client|core)/', ...atRunTime },
    },
    {
      name: 'core-stands-alone',
      severity: 'error',
      from: { path: '^src/core/' },
      to: { pathNot: '^src/core/' },
    },
    {
      name: 'system-stands-on-node-alone',
      comment: 'What several Node folders need of the operating system: private, and below all of them.',
      severity: 'error',
      from: { path: '^src/system/' },
      to: { pathNot: '^src/(system|core)/', dependencyTypesNot: ['core'] },
    },
    {
      name: 'universal-part-knows-no-node',
      severity: 'error',
      from: { path: '^src/(core/|http/|opentelemetry/|testing/|threads/|index\\.ts$)' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'universal-face-leads-to-core-only',
      comment:
        'What a conformance suite tries is given to it; it knows the types alone. The engine in memory knows no Node.',
      severity: 'error',
      from: { path: '^src/(testing/|index\\.ts$)' },
      to: { pathNot: '^src/(core|testing|remote/memory)/', ...atRunTime },
    },
    {
      name: 'siblings-meet-at-their-doors',
      comment: 'node, threads and remote know of each other what everybody knows: the public index.',
      severity: 'error',
      from: { path: '^src/(node|threads|remote)/' },
      to: { path: '^src/(node|threads|remote|cli|testing)/', pathNot: '^src/($1/|(node|threads|remote)/index\\.ts$)' },
    },
    {
      name: 'siblings-come-when-they-are-needed',
      comment: 'Loaded only then (`await import`); the program of a thread is loaded only when the thread is started.',
      severity: 'error',
      from: { path: '^src/(node|threads|remote)/', pathNot: '/worker\\.ts$' },
      to: {
        path: '^src/(node|threads|remote)/index\\.ts$',
        pathNot: '^src/$1/',
        dynamic: false,
        ...atRunTime,
      },
    },
    {
      name: 'cli-uses-public-faces',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: {
        path: '^src/',
        pathNot:
          '^src/(cli/|system/|inspector/(ask|paths|place|report)\\.ts$|core/nearest\\.ts$|remote/registry/schemes\\.ts$|index\\.ts$|[^/]+/index\\.ts$)',
      },
    },
    {
      name: 'starting-is-cheap',
      comment:
        'What every call of the command line loads knows nothing of what the commands do; nearest.ts stands alone.',
      severity: 'error',
      from: {
        path: '^src/cli/(bin|main|commands/all|arguments/[^/]+|terminal/(duration|errors|exit-codes|output|visible))\\.ts$',
      },
      to: { path: '^src/(?!cli/|core/nearest\\.ts$)', ...atRunTime },
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
      from: { path: '^src/core/(clock|errors|observation|stray|traces)\\.ts$' },
      to: { path: '.', ...atRunTime },
    },
    {
      name: 'graph-rests-on-the-ground',
      severity: 'error',
      from: { path: '^src/core/graph\\.ts$' },
      to: { pathNot: '^src/core/(clock|errors|observation|stray|traces)\\.ts$', ...atRunTime },
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
