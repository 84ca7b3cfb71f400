/** All commands: their names, options and help. The code of a command is loaded when it is run. */
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
    help: 'The key of a hub over TCP or TLS. Default: $CALLOFF_KEY_FILE, else the file that serve makes.',
  },
  'hub-timeout': {
    value: 'TIME',
    is: 'duration',
    help: 'How long the hub may take to answer. Default: 10s.',
  },
}
const START: Readonly<Record<string, Option>> = {
  start: { help: 'Start a hub at your own socket if there is none. It ends after a minute without a client.' },
}
const RUN: Readonly<Record<string, Option>> = {
  'run-id': { value: 'ID', help: 'Which use of the name, if the name is used more than once. Default: none.' },
}
const JSON_OUT: Readonly<Record<string, Option>> = {
  json: { help: 'Print JSON, one value a line.' },
}
const QUIET: Readonly<Record<string, Option>> = {
  quiet: { short: 'q', help: 'Print nothing; the exit code is the result.' },
}

const none: Operands = { label: '', is: 'none', least: 0, most: 0 }
const prefix: Operands = { label: '[PREFIX]', is: 'prefix', least: 0, most: 1 }
const name: Operands = { label: 'NAME', is: 'name', least: 1, most: 1 }
const names: Operands = { label: 'NAME…', is: 'name', least: 1, most: Infinity }

export const commands: readonly Command[] = [
  {
    name: 'run',
    summary: 'Run a command that can be cancelled: by a timeout, by name, by Ctrl+C, by a file.',
    about: [
      'The command has the terminal, its input and its output to itself. When it is cancelled, it and all processes that it has started are asked to end (SIGTERM, or --signal), and killed after the grace. One line on standard error then says what cancelled it, and why.',
      'Ctrl+C reaches the command directly. A process that has not ended after half of the grace is asked to end. Ctrl+C again kills at once. With --foreground, Ctrl+C reaches the command alone and cancels nothing.',
    ],
    operands: { label: '[--] COMMAND [ARGS…]', is: 'command', least: 1, most: Infinity },
    options: {
      timeout: {
        short: 't',
        value: 'TIME',
        is: 'duration',
        help: 'Cancel the command after this time: 30s, 1h30m, 500ms.',
      },
      grace: {
        short: 'g',
        value: 'TIME',
        is: 'duration',
        help: 'How long the command may take to end before it is killed. 0 kills at once. Default: 5s.',
      },
      signal: {
        short: 's',
        value: 'NAME',
        is: 'signal',
        help: 'The signal that asks the command to end: TERM, INT, HUP, 15, … Default: TERM.',
      },
      foreground: {
        short: 'f',
        help: 'Leave Ctrl+C to the command, as python or less +F need it. It does not cancel.',
      },
      guard: {
        help: 'Start a small process that ends the command and all that it has started if calloff run itself is killed (SIGKILL).',
      },
      name: {
        short: 'n',
        value: 'NAME',
        is: 'name',
        help: 'The name at the hub by which other processes can cancel the command.',
      },
      ...RUN,
      replace: {
        help: 'Cancel what runs under this name, and start when it has ended. Nothing is started if it has not ended after 30s.',
      },
      ...HUB,
      ...START,
      'stop-file': { value: 'PATH', is: 'file', help: 'Cancel the command when this file exists.' },
      quiet: { short: 'q', help: 'Do not print what cancelled the command.' },
    },
    examples: [
      ['calloff run --timeout 30s -- npm test', 'at most half a minute'],
      ['calloff run --name deploy-42 --start -- ./deploy.sh', 'cancelled by: calloff cancel deploy-42'],
      ['calloff run --name preview --replace --start -- make preview', 'ends the preview before, then starts'],
      ['calloff run --foreground --timeout 1h -- python3', 'Ctrl+C interrupts a line, not python'],
      ['calloff run --stop-file /tmp/stop -- make -j8', 'cancelled by: touch /tmp/stop'],
    ],
    exits: [
      ['…', "the command's own exit code"],
      ['124', '--timeout has passed'],
      ['125', 'cancelled by name or by the stop file'],
      ['126', 'the command cannot be executed'],
      ['127', 'the command does not exist'],
      ['128+n', 'cancelled or killed by signal n: 130 is Ctrl+C'],
      ['1', 'the hub cannot be reached or does not answer in time; nothing was started'],
    ],
    load: async () => (await import('./run.js')).run,
  },
  {
    name: 'cancel',
    summary: 'Cancel a name: all that holds it is cancelled.',
    about: [
      'The cancel is stored for a day: a process that opens the name later is cancelled too, until calloff forget. With --wait it prints how many holders have finished and which have not.',
    ],
    operands: names,
    options: {
      reason: { short: 'r', value: 'TEXT', help: 'The reason. All holders receive it.' },
      wait: {
        short: 'w',
        value: 'TIME',
        is: 'duration',
        help: 'Wait up to TIME for the holders to finish; exit with 1 if any has not.',
      },
      ...RUN,
      ...HUB,
      ...START,
      ...QUIET,
      ...JSON_OUT,
    },
    examples: [
      ["calloff cancel deploy-42 --reason 'wrong branch'", ''],
      ['calloff cancel deploy-42 --wait 10s', 'returns when all holders have finished'],
      ['calloff ls --null nightly- | xargs -0 calloff cancel --', 'all names that begin with nightly-'],
    ],
    exits: [
      ['0', 'the cancel is stored; with --wait, all holders have finished'],
      ['1', 'the hub cannot be reached or does not answer in time, or a holder did not finish in time'],
    ],
    load: async () => (await import('./cancel.js')).cancel,
  },
  {
    name: 'wait',
    summary: 'Wait until a name is cancelled.',
    about: ['Returns at once if it is cancelled already.'],
    operands: name,
    options: {
      timeout: { short: 't', value: 'TIME', is: 'duration', help: 'Give up after this time. Default: never.' },
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
      ['0', 'the name is cancelled'],
      ['124', 'the name was not cancelled before --timeout had passed'],
      ['1', 'the hub cannot be reached or does not answer in time'],
    ],
    load: async () => (await import('./wait.js')).wait,
  },
  {
    name: 'ls',
    summary: 'List the names that are open or cancelled.',
    about: ['Shows for each name whether it is live, which processes hold it, and which process cancelled it.'],
    operands: prefix,
    options: {
      names: { short: '1', help: 'Print only the names, one a line. Control characters are escaped.' },
      null: { short: '0', help: 'Print only the names, unchanged, each followed by a NUL: for xargs -0.' },
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
    summary: 'Show whether a name is cancelled, by which process and why, and its holders.',
    about: ['A name that was never used is live.'],
    operands: name,
    options: { ...RUN, ...HUB, ...START, ...QUIET, ...JSON_OUT },
    examples: [
      ['calloff status deploy-42', ''],
      ['while calloff status --quiet import; do ./import-next.sh; done', 'a loop that other processes can cancel'],
    ],
    exits: [
      ['0', 'the name is live'],
      ['125', 'the name is cancelled'],
    ],
    load: async () => (await import('./status.js')).status,
  },
  {
    name: 'watch',
    summary: 'Watch the names that are open or cancelled, until Ctrl+C.',
    about: [
      'In a terminal it shows a table and keeps it up to date. Elsewhere it prints a line for each change. It waits for a hub that is not there yet, or that is lost and comes back.',
    ],
    operands: prefix,
    options: {
      every: { value: 'TIME', is: 'duration', help: 'Time between two reads. Default: 1s.' },
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
    name: 'tree',
    summary: 'Show the tokens, scopes and tasks of a running process, and what has not stopped.',
    about: [
      'Asks a process that was started with node --import calloff/inspector, or with CALLOFF_INSPECT=1 if it loads calloff/node. Without an operand it lists the processes that can be asked. A number is the id of a process. A name asks all its holders at the hub that are on this host.',
      'It shows the tokens that something listens to or waits on, the scopes with their unfinished tasks, where each was started, what was cancelled in the last minute, and what has not stopped since. A process whose main thread is busy says so, since when, and in which task.',
    ],
    operands: { label: '[PID | NAME]', is: 'process', least: 0, most: 1 },
    options: {
      watch: { short: 'w', help: 'Ask again and again, until Ctrl+C.' },
      every: { value: 'TIME', is: 'duration', help: 'Time between two questions of --watch. Default: 1s.' },
      cancel: {
        value: 'PATH',
        help: 'Cancel one token of the process: @12, or names such as server/import. The process must have been started with CALLOFF_INSPECT=cancel.',
      },
      reason: { short: 'r', value: 'TEXT', help: 'The reason for --cancel.' },
      ...HUB,
      ...JSON_OUT,
    },
    examples: [
      ['calloff tree', 'the processes that can be asked'],
      ['calloff tree 4711', ''],
      ['calloff tree 4711 --watch', ''],
      ['calloff tree deploy-42', 'the holders of a name on this host'],
      ["calloff tree 4711 --cancel server/import --reason 'takes too long'", ''],
    ],
    exits: [
      ['1', 'no process could be asked, or the cancel was refused'],
      ['130', 'Ctrl+C, with --watch'],
    ],
    load: async () => (await import('./tree.js')).tree,
  },
  {
    name: 'forget',
    summary: 'Forget that a name was cancelled, so that it can be used again.',
    about: ['Tokens that are cancelled stay cancelled. Tokens that are opened from now on are live.'],
    operands: names,
    options: { ...RUN, ...HUB, ...START, ...QUIET },
    examples: [['calloff forget deploy-42', '']],
    load: async () => (await import('./forget.js')).forget,
  },
  {
    name: 'serve',
    summary: 'Run the hub, the server that the other commands connect to.',
    about: [
      'Listens at your own socket, which no other user can reach, or where --listen or CALLOFF_HUB says. It runs until SIGTERM or Ctrl+C. The first line it prints is `ready` and the URL.',
      'Over TCP a key is needed. If there is no key file, serve makes one. A client that has the key may cancel any name.',
      'With --http it also serves a page with all names, their holders and a Stop button, and the API of the hub over HTTP. The second line that it prints is `page` and the link. A user who has the link may cancel any name.',
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
        help: 'The key for TCP. The file is made if it does not exist. Default: $CALLOFF_KEY_FILE, else ~/.config/calloff/key.',
      },
      journal: { value: 'FILE', is: 'file', help: 'Keep cancels in this file, so that they survive a crash.' },
      idle: {
        value: 'TIME',
        is: 'duration',
        help: 'End when no client has been connected for this time. Default: never.',
      },
      http: { value: 'HOST:PORT', help: 'Serve a page for operators there, and the API of the hub over HTTP.' },
      hub: {
        value: 'URL',
        is: 'url',
        help: 'With --http: serve the page for the hub at this URL, and start no hub: unix:PATH, tcp://HOST:PORT, tls://, redis://, nats:// or postgres://.',
      },
      ...JSON_OUT,
    },
    examples: [
      ['calloff serve', ''],
      ['calloff serve --listen tcp://127.0.0.1:4747 --journal /var/lib/calloff/journal', ''],
      ['calloff serve --idle 10m &', ''],
      ['calloff serve --http 127.0.0.1:4748', 'a page with a Stop button'],
      ['calloff serve --http 127.0.0.1:4748 --hub redis://localhost', 'for a hub in Redis'],
    ],
    exits: [
      ['0', 'ended by SIGTERM, SIGINT, SIGHUP or --idle'],
      ['1', 'it cannot listen, its journal cannot be written, or the hub at --hub cannot be reached'],
      ['3', 'another server has the journal'],
    ],
    load: async () => (await import('./serve.js')).serve,
  },
  {
    name: 'ui',
    summary: 'Open the page of serve --http in a browser.',
    about: [
      'Prints the link to the page, and opens it in a browser if there is a display. A user who has the link may cancel any name.',
    ],
    operands: none,
    options: {
      print: { short: 'p', help: 'Print the link, and open no browser.' },
      json: { help: 'Print the link as JSON, and open no browser.' },
    },
    examples: [
      ['calloff ui', ''],
      ['calloff ui --print', ''],
    ],
    exits: [['1', 'no server of this user serves a page']],
    load: async () => (await import('./ui.js')).ui,
  },
  {
    name: 'completion',
    summary: 'Print a script with which a shell completes calloff.',
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
