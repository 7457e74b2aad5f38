import type { Command } from 'commander'
import { configPath, parseConfig, readConfigText } from './config-file.ts'
import {
  allSettings,
  maskPassword,
  type Origin,
  originOf,
  type Setting,
  type Sources,
  valueOf,
  variablesOf,
} from './settings.ts'
import { alignRows } from '../output/table.ts'
import type { Session } from '../session.ts'
import type { Perform } from '../commands/perform.ts'

interface ShowFlags {
  readonly all?: boolean
}

const notes = `
Each option is also a key of the file, for all commands or for one, and a variable: --size of fetch is size, or size
under fetch, and DISK_IMAGE_SIZE or DISK_IMAGE_FETCH_SIZE. The command line goes before the variables, these before
the file. Values of an option that may be repeated are a list in the file, with commas between them in a variable.
A password stands in neither: the file names the file that has it. DISK_IMAGE_CONFIG names another file; empty, none.

Example:
  cloud: production
  limit-rate: 50M
  fetch:
    cache: ~/.cache/images
    no-sync: true
  image:
    create:
      visibility: private`

/** `disk-image config …`: what is set beside the command line. */
export function addConfigCommands(program: Command, perform: Perform): void {
  const config = program
    .command('config')
    .summary('what is set in the file and by variables')
    .description('What is set beside the command line.')
    .addHelpText('after', notes)
  config
    .command('show')
    .summary('each value, and where it comes from')
    .description('Shows each option that has a value, and where that comes from.')
    .option('--all', 'options without a value, too, with the variable for each')
    .action(perform<ShowFlags>((session, flags) => showConfig(session, flags, program)))
  config
    .command('path')
    .summary('where the file is')
    .description('Prints where the file is, or would be.')
    .action(
      perform<object>(async (session) => {
        const file = configPath(session.io)
        session.answer({ file: file ?? null }, file === undefined ? [] : [file], 'all')
      }),
    )
}

interface Shown {
  readonly setting: Setting
  readonly texts: readonly string[] | undefined
  readonly source: 'command line' | 'environment' | 'file' | 'default' | undefined
  readonly from: string | undefined
}

async function showConfig(session: Session, { all = false }: ShowFlags, program: Command): Promise<void> {
  const { environment } = session.io
  const file = configPath(session.io)
  const text = readConfigText(session.io)
  const read =
    text === undefined ? undefined : await parseConfig(text, file ?? '', program, environment['HOME'])
  const sources: Sources = { environment, file: read }
  const shown = allSettings(program)
    .filter(({ path }) => path[0] !== 'config')
    .map((setting) => look(setting, sources))
    .filter(({ source }) => all || source !== undefined)
  session.answer(
    {
      file: read === undefined ? null : read.path,
      settings: shown.map(
        ({ setting: { option, path, key }, texts, source = null, from = null, setting }) => ({
          command: path.join(' '),
          option: option.long,
          value: texts === undefined ? null : texts.map(maskPassword).join(','),
          source,
          from,
          key: [...path, key].join('.'),
          variable: variablesOf(setting)[0],
        }),
      ),
    },
    [
      ...alignRows(
        shown.map(({ setting, texts = [], source, from }) => [
          [...setting.path, setting.option.long].join(' '),
          texts.map(maskPassword).join(', '),
          from ?? source ?? '',
          ...(all ? [variablesOf(setting)[0] ?? ''] : []),
        ]),
      ),
      ...(read === undefined && file !== undefined ? [`There is no file ${file}.`] : []),
    ],
    'all',
  )
}

function look(setting: Setting, sources: Sources): Shown {
  const { command, option } = setting
  const name = option.attributeName()
  const value: unknown = command.getOptionValue(name)
  if (command.getOptionValueSource(name) === 'cli') {
    return { setting, texts: [value].flat().map(String), source: 'command line', from: undefined }
  }
  const origin: Origin | undefined = originOf(setting, sources)
  if (origin !== undefined) {
    // What is wrong is told here, too.
    valueOf(setting, origin)
    return { setting, ...origin }
  }
  const { defaultValue } = option
  const texts = defaultValue === undefined ? undefined : [String(defaultValue)]
  return { setting, texts, source: texts && 'default', from: undefined }
}
