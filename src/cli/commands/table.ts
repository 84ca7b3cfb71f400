/** All commands: what they are called, what they take, and what their help says. What they do is loaded when it is needed. */
import type { Command, Operands, Option } from '../arguments/command.js'

const HUB: Readonly<Record<string, Option>> = {
  hub: {
    value: 'URL',
    is: 'url',
    help: 'The hub: unix:PATH, tcp://HOST:PORT, tls://, redis://, nats:// or postgres://. Default: $CALLOFF_HUB, else your own socket.',
  },
  'key-file': {
    value: 'FILE',
    is: 'file',
    help: 'The key of a hub over TCP or TLS. Default: $CALLOFF_KEY_FILE, else the one that serve makes.',
  },
  'hub-timeout': {
    value: 'TIME',
    is: 'duration',
    help: 'How long the hub may take to answer. Default: 10s.',
  },
}
const START: Readonly<Record<string, Option>> = {
  start: { help: 'Start a hub at your own socket if none is there. It ends after a minute without a client.' },
}
const RUN: Readonly<Record<string, Option>> = {
  'run-id': { value: 'ID', help: 'Which run of the name, where a name is used again and again. Default: none.' },
}
const JSON_OUT: Readonly<Record<string, Option>> = {
  json: { help: 'Print JSON, one value a line.' },
}
const QUIET: Readonly<Record<string, Option>> = {
  quiet: { short: 'q', help: 'Print nothing; the exit code says it.' },
}

const none: Operands = { label: '', is: 'none', least: 0, most: 0 }
const prefix: Operands = { label: '[PREFIX]', is: 'prefix', least: 0, most: 1 }
const name: Operands = { label: 'NAME', is: 'name', least: 1, most: 1 }
const names: Operands = { label: 'NAME…', is: 'name', least: 1, most: Infinity }

export const commands: readonly Command[] = [
  {
    name: 'run',
    summary: 'Run a command that can be called off: by time, by name, by Ctrl+C, by a file.',
    about: [
      'The command has the terminal, its input and its output to itself. When it is called off, it and everything it has started are asked to end (SIGTERM, or --signal), and killed after the grace. One line on standard error then says who called it off, and why.',
      "Ctrl+C reaches the command directly; what has not ended by half of the grace is asked to end. Ctrl+C again kills at once. With --foreground it is the command's alone.",
    ],
    operands: { label: '[--] COMMAND [ARGS…]', is: 'command', least: 1, most: Infinity },
    options: {
      timeout: { short: 't', value: 'TIME', is: 'duration', help: 'Call it off after so long: 30s, 1h30m, 500ms.' },
      grace: {
        short: 'g',
        value: 'TIME',
        is: 'duration',
        help: 'How long it may take to end before it is killed. 0 kills at once. Default: 5s.',
      },
      signal: {
        short: 's',
        value: 'NAME',
        is: 'signal',
        help: 'What asks it to end: TERM, INT, HUP, 15, … Default: TERM.',
      },
      foreground: {
        short: 'f',
        help: 'Ctrl+C is a key of the command, as in python or less +F, and does not call it off.',
      },
      guard: {
        help: 'Start a small process that ends all of it if calloff run itself is killed (SIGKILL).',
      },
      name: { short: 'n', value: 'NAME', is: 'name', help: 'The name that others call it off by, at the hub.' },
      ...RUN,
      ...HUB,
      ...START,
      'stop-file': { value: 'PATH', is: 'file', help: 'Call it off when this file is there.' },
      quiet: { short: 'q', help: 'Do not say who called it off.' },
    },
    examples: [
      ['calloff run --timeout 30s -- npm test', 'no longer than half a minute'],
      ['calloff run --name deploy-42 --start -- ./deploy.sh', 'called off by: calloff cancel deploy-42'],
      ['calloff run --foreground --timeout 1h -- python3', 'Ctrl+C interrupts a line, not python'],
      ['calloff run --stop-file /tmp/stop -- make -j8', 'called off by: touch /tmp/stop'],
    ],
    exits: [
      ['…', "the command's own"],
      ['124', '--timeout has passed'],
      ['125', 'called off by name or by the stop file'],
      ['126', 'the command cannot be executed'],
      ['127', 'there is no such command'],
      ['128+n', 'called off, or ended, by signal n: 130 is Ctrl+C'],
      ['1', 'the hub cannot be reached or does not answer in time; nothing was started'],
    ],
    load: async () => (await import('./run.js')).run,
  },
  {
    name: 'cancel',
    summary: 'Call off whatever runs under a name.',
    about: [
      'The cancel is stored: whoever opens the name later, within a day, is called off too; calloff forget ends that. With --wait it prints who has stopped, and fails if somebody has not.',
    ],
    operands: names,
    options: {
      reason: { short: 'r', value: 'TEXT', help: 'Why; those called off are told.' },
      wait: {
        short: 'w',
        value: 'TIME',
        is: 'duration',
        help: 'Wait so long for them to finish, and fail if they do not.',
      },
      ...RUN,
      ...HUB,
      ...START,
      ...QUIET,
      ...JSON_OUT,
    },
    examples: [
      ["calloff cancel deploy-42 --reason 'wrong branch'", ''],
      ['calloff cancel deploy-42 --wait 10s', 'returns when it has really stopped'],
      ['calloff ls --null nightly- | xargs -0 calloff cancel --', 'all that begin with nightly-'],
    ],
    exits: [
      ['0', 'it is stored, and with --wait, all have finished'],
      ['1', 'the hub cannot be reached or does not answer in time, or a holder did not stop in time'],
    ],
    load: async () => (await import('./cancel.js')).cancel,
  },
  {
    name: 'wait',
    summary: 'Wait until a name is called off.',
    about: ['Returns at once if that has already happened.'],
    operands: name,
    options: {
      timeout: { short: 't', value: 'TIME', is: 'duration', help: 'Give up after so long. Default: never.' },
      ...RUN,
      ...HUB,
      ...START,
      ...QUIET,
      ...JSON_OUT,
    },
    examples: [
      ['calloff wait deploy-42 && ./roll-back.sh', ''],
      ['calloff wait deploy-42 --timeout 1h', ''],
    ],
    exits: [
      ['0', 'it was called off'],
      ['124', 'it was not called off before --timeout had passed'],
      ['1', 'the hub cannot be reached or does not answer in time'],
    ],
    load: async () => (await import('./wait.js')).wait,
  },
  {
    name: 'ls',
    summary: 'List what is open or called off.',
    about: ['Of each name: whether it is live, who holds it, and who called it off.'],
    operands: prefix,
    options: {
      names: { short: '1', help: 'Print the names alone, one a line. What a terminal would obey is escaped.' },
      null: { short: '0', help: 'Print the names alone, as they are, with a NUL behind each: for xargs -0.' },
      ...HUB,
      ...START,
      ...JSON_OUT,
    },
    examples: [
      ['calloff ls', ''],
      ['calloff ls deploy-', 'the names that begin with deploy-'],
      ['calloff ls --json | jq -r \'select(.state == "live") .name\'', ''],
    ],
    load: async () => (await import('./ls.js')).ls,
  },
  {
    name: 'status',
    summary: 'Say whether a name is called off, by whom and why, and who holds it.',
    about: ['A name that nobody has ever used is live: nobody has called it off.'],
    operands: name,
    options: { ...RUN, ...HUB, ...START, ...QUIET, ...JSON_OUT },
    examples: [
      ['calloff status deploy-42', ''],
      ['while calloff status --quiet import; do ./import-next.sh; done', 'a loop that others can call off'],
    ],
    exits: [
      ['0', 'it is live'],
      ['125', 'it was called off'],
    ],
    load: async () => (await import('./status.js')).status,
  },
  {
    name: 'watch',
    summary: 'Watch what is open or called off, until Ctrl+C.',
    about: [
      'A table that is kept up to date in a terminal; elsewhere a line for each change. A hub that goes away and comes back is waited for, and so is one that is not there yet.',
    ],
    operands: prefix,
    options: {
      every: { value: 'TIME', is: 'duration', help: 'How often to look. Default: 1s.' },
      ...HUB,
      ...START,
      ...JSON_OUT,
    },
    examples: [
      ['calloff watch', ''],
      ['calloff watch deploy- --json', 'one JSON object for each change'],
    ],
    exits: [['130', 'Ctrl+C']],
    load: async () => (await import('./watch.js')).watch,
  },
  {
    name: 'forget',
    summary: 'Forget that a name was called off, so that it can be used again.',
    about: ['What is called off stays so; what is opened from now on is live.'],
    operands: names,
    options: { ...RUN, ...HUB, ...START, ...QUIET },
    examples: [['calloff forget deploy-42', '']],
    load: async () => (await import('./forget.js')).forget,
  },
  {
    name: 'serve',
    summary: 'Be the hub: the server that the other commands talk to.',
    about: [
      'Listens at your own socket, which nobody else can reach, unless --listen or CALLOFF_HUB says where, until SIGTERM or Ctrl+C. The first line it prints is `ready` and the URL.',
      'Over TCP a key is needed; the key file is made if it is not there. Whoever has the key may call off any name.',
    ],
    operands: none,
    options: {
      listen: {
        short: 'l',
        value: 'WHERE',
        is: 'url',
        help: 'unix:PATH or tcp://HOST:PORT; port 0 picks a free one. Default: $CALLOFF_HUB, else your own socket.',
      },
      'key-file': {
        value: 'FILE',
        is: 'file',
        help: 'The key for TCP, made if it is not there. Default: $CALLOFF_KEY_FILE, else ~/.config/calloff/key.',
      },
      journal: { value: 'FILE', is: 'file', help: 'Keep cancels in this file, so that they survive a crash.' },
      idle: { value: 'TIME', is: 'duration', help: 'End when nobody has been connected for so long. Default: never.' },
      ...JSON_OUT,
    },
    examples: [
      ['calloff serve', ''],
      ['calloff serve --listen tcp://127.0.0.1:4747 --journal /var/lib/calloff/journal', ''],
      ['calloff serve --idle 10m &', ''],
    ],
    exits: [
      ['0', 'ended by SIGTERM, SIGINT or --idle'],
      ['1', 'it cannot listen, or its journal cannot be written any more'],
      ['3', 'another server has the journal'],
    ],
    load: async () => (await import('./serve.js')).serve,
  },
  {
    name: 'completion',
    summary: 'Print what makes a shell complete calloff.',
    about: ['Completes commands, options, files, and the names at the hub.'],
    operands: { label: 'bash|zsh|fish', is: 'shell', least: 1, most: 1 },
    options: {},
    examples: [
      ['source <(calloff completion bash)', 'in ~/.bashrc'],
      ['source <(calloff completion zsh)', 'in ~/.zshrc, after compinit'],
      ['calloff completion fish > ~/.config/fish/completions/calloff.fish', ''],
    ],
    load: async () => (await import('./completion.js')).completion,
  },
  {
    name: 'help',
    summary: 'Show the help of a command.',
    about: ['The same as calloff COMMAND --help.'],
    operands: { label: '[COMMAND]', is: 'command-name', least: 0, most: 1 },
    options: {},
    examples: [['calloff help run', '']],
    load: async () => (await import('./help.js')).help,
  },
]
