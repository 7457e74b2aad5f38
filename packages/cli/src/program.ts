import { Command, Option } from 'commander'
import { addCleanCommand } from './commands/clean.ts'
import { addCompletionCommand } from './completion.ts'
import { addConfigCommands } from './config/config-commands.ts'
import { addConvertCommand } from './commands/convert.ts'
import { addDoctorCommand } from './commands/doctor.ts'
import { addFetchCommand } from './commands/fetch.ts'
import { addImageCommands } from './commands/image.ts'
import { addInspectCommand } from './commands/inspect.ts'
import { addJobsCommand } from './commands/jobs.ts'
import { addPushCommand } from './commands/push.ts'
import { addSubmitCommands } from './commands/submit.ts'
import { addUploadCommand } from './commands/upload.ts'
import { addCompareCommand, addVerifyCommand } from './commands/verify.ts'
import { addVhdCommands } from './commands/vhd.ts'
import { addWorkerCommand } from './commands/worker.ts'
import type { Perform } from './commands/perform.ts'
import { duration, wholeNumber } from './commands/values.ts'
import { applySettings, refuseSecrets, type Sources } from './config/settings.ts'
import { type ExitCode, exitCodes } from './exit-code.ts'
import type { Io } from './io.ts'
import { readManifest } from './manifest.ts'
import { type GlobalFlags, Session } from './session.ts'
import { checkUrl } from './store.ts'

/** Where help and the exit code go. */
export interface ProgramOutcome {
  write(text: string): void
  /** Help that nobody asked for, because a command is missing. */
  writeHelp(text: string): void
  end(exitCode: ExitCode): void
}

const notes = `
Every option can be set in a file or by a variable, too: disk-image config --help.

Where the images are, the first that is given: --store DIR, --glance URL, --cloud NAME or OS_CLOUD,
the OS_* variables, and last $XDG_DATA_HOME/disk-image/images (~/.local/share/disk-image/images).
They are reached through http_proxy, https_proxy, all_proxy and no_proxy; OS_CACERT, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or
SSL_CERT_FILE names the authorities to trust.

Exit codes:
  0 done   1 failed   2 wrong usage   3 refused by a rule   4 no such image   5 not allowed   130 cancelled

Examples:
  $ disk-image inspect ubuntu.qcow2
  $ disk-image image create --name ubuntu --disk-format qcow2 --file ubuntu.qcow2
  $ disk-image fetch 0e4fcd5c-63a5-4d9a-a6bb-ff6f0c5c6a1d /dev/vg0/volume --cloud production
  $ disk-image upload /dev/vg0/volume --name backup --disk-format qcow2 --compress zstd`

type Add = (program: Command, perform: Perform) => void

/** What adds each command, in the order in which one needs them. */
const commands: ReadonlyMap<string, readonly [group: string, add: Add]> = new Map([
  ['inspect', ['Disks:', addInspectCommand]],
  ['fetch', ['Disks:', addFetchCommand]],
  ['upload', ['Disks:', addUploadCommand]],
  ['convert', ['Disks:', addConvertCommand]],
  ['verify', ['Disks:', addVerifyCommand]],
  ['compare', ['Disks:', addCompareCommand]],
  ['push', ['Disks:', addPushCommand]],
  ['image', ['Disks:', addImageCommands]],
  ['vhd', ['Disks:', addVhdCommands]],
  ['config', ['This command:', addConfigCommands]],
  ['completion', ['This command:', addCompletionCommand]],
  ['doctor', ['This command:', addDoctorCommand]],
  ['clean', ['This command:', addCleanCommand]],
  ['worker', ['A fleet:', addWorkerCommand]],
  ['submit', ['A fleet:', addSubmitCommands]],
  ['jobs', ['A fleet:', addJobsCommand]],
])

/**
 * The commands that may be meant. To add all of them takes longer than to read the image's record, so those that
 * aren't named are left out, except where help or an error is to list them.
 */
function commandsIn(argv: readonly string[]): Iterable<readonly [group: string, add: Add]> {
  const named = [...commands].filter(([name]) => argv.includes(name)).map(([, command]) => command)
  const needsAll = asksForHelp(argv) || argv.includes('config') || argv[0] === '__complete'
  return named.length === 0 || needsAll ? commands.values() : named
}

/** Whether help is asked for, or may be: nothing that is set elsewhere stands in its way. */
export function asksForHelp(argv: readonly string[]): boolean {
  return ['help', '-h', '--help'].some((word) => argv.includes(word))
}

/**
 * The command line, as far as `argv` needs it. Nothing heavy is loaded for it: a command loads what it needs when it
 * runs.
 */
export function buildProgram(io: Io, outcome: ProgramOutcome, argv: readonly string[]): Command {
  const program = new Command('disk-image')
  // Inherited by every command that is added below, so it comes first.
  program
    .exitOverride()
    .configureOutput({ writeOut: (text) => outcome.write(text), writeErr: (text) => outcome.writeHelp(text) })
    .addHelpText('afterAll', ({ command }) =>
      command.name() === 'options' ? '' : '\nOptions of every command: disk-image help options',
    )
    .configureHelp({
      visibleOptions: (command) =>
        command.parent === null
          ? command.options.filter(({ long }) => long === '--version')
          : [...command.options],
      helpWidth: Math.min(io.stdout.columns ?? 100, 110),
    })
    .showSuggestionAfterError(true)
  program
    .description('Moves disk images between an image service and volumes: inspected, judged, verified.')
    .version(readManifest().version, '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .optionsGroup('Where the images are:')
    .option('--store <dir>', 'a folder, made when missing')
    .option('--glance <url>', 'a Glance without authentication', checkUrl)
    .option('--cloud <name>', 'a cloud of clouds.yaml')
    .optionsGroup('Output:')
    .option('--json', 'one JSON object on standard output, errors too')
    .option('-q, --quiet', 'no progress and no remarks')
    .option('-v, --verbose', 'show the commands that are run, and where an error comes from')
    .addOption(
      new Option('--progress <how>', 'on standard error (default: bar on a terminal, else line)').choices([
        'bar',
        'line',
        'json',
        'none',
      ]),
    )
    .optionsGroup('What is there, and servers:')
    .option('--force', 'write over what is there')
    .option('-y, --yes', 'answer every question with yes; the same as --force where nobody can be asked')
    .option('--retries <n>', 'of what fails on the way to a server (default: 3)', wholeNumber('--retries'))
    .option(
      '--timeout <time>',
      'without an answer or a byte from a server, for example 2m (default: 30s)',
      duration('--timeout'),
    )
    .optionsGroup('How tools are run:')
    .option('--root-helper <command>', "before what needs root, for example 'sudo -n'")
    .option('--conversion-dir <dir>', 'where temporary files go; nobody else may be able to write there')
    .addOption(
      new Option('--sandbox <mode>', 'qemu-img sees only its own files')
        .choices(['auto', 'require', 'off'])
        .default('auto'),
    )
    .option('--no-sandbox', 'the same as --sandbox off')
    .addHelpText('after', notes)

  const perform: Perform =
    (action) =>
    async (...parameters) => {
      const command = parameters.at(-1) as Command
      const flags = command.optsWithGlobals<GlobalFlags>()
      refuseSecrets(command)
      const session = new Session(io, flags, (name) => command.getOptionValueSourceWithGlobals(name))
      try {
        // Ctrl-C before the first step counts, too.
        io.signal.throwIfAborted()
        outcome.end((await action(session, session.flags as never, command.args)) ?? exitCodes.done)
      } finally {
        await session.close()
      }
    }
  for (const [group, add] of commandsIn(argv)) {
    program.commandsGroup(group)
    add(program, perform)
  }
  if (argv.includes('options')) addOptionsPage(program)
  return program
}

/** `disk-image help options`: what the help of each command only points to. */
function addOptionsPage(program: Command): void {
  const help = program.createHelp()
  help.helpWidth = 100
  const groups = Map.groupBy(program.options, ({ helpGroupHeading }) => helpGroupHeading ?? 'Options:')
  const text = [...groups].flatMap(([heading, options]) => [
    heading,
    ...options.map((option) =>
      help.formatItem(help.optionTerm(option), 28, help.optionDescription(option), help),
    ),
    '',
  ])
  program.command('options', { hidden: true }).helpInformation = () => text.join('\n')
}

/** Sets what the command line leaves open: of all commands now, of the one that is run when it is known. */
export function configure(program: Command, sources: Sources): void {
  applySettings(program, sources)
  const onEach = (command: Command): void => {
    command.hook('preSubcommand', (_, below) => applySettings(below, sources))
    for (const below of command.commands) if (below.commands.length > 0) onEach(below)
  }
  onEach(program)
}
