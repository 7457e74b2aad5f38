/**
 * Writes a page for man of each command of the package in the working directory, from the command's own tree, into its
 * folder `man`, or another that is given. Run by its `build` script.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

interface Option {
  readonly helpGroupHeading?: string | undefined
}

interface Help {
  commandUsage(command: Command): string
  visibleCommands(command: Command): Command[]
  optionTerm(option: Option): string
  optionDescription(option: Option): string
}

/** What is used of commander's. */
interface Command {
  readonly parent: Command | null
  readonly options: readonly Option[]
  readonly registeredArguments: readonly { name(): string; readonly description: string }[]
  name(): string
  summary(): string
  description(): string
  helpInformation(): string
  outputHelp(): void
  createHelp(): Help
}

type Build = (io: object, outcome: object, argv: readonly string[]) => Command

/** Text of a page: no letter of it is a request of roff, and a hyphen stays what it is. */
function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1')
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)}-${command.name()}`
}

/** A term, and below it what it means. */
function item(term: string, meaning: string): string[] {
  return ['.TP', `\\fB${escape(term)}\\fR`, escape(meaning === '' ? 'See its page.' : meaning)]
}

function sections(command: Command, notes: string): string[] {
  const help = command.createHelp()
  const below = help.visibleCommands(command).filter((one) => one.name() !== 'help')
  const operands = command.registeredArguments.filter(({ description }) => description !== '')
  const groups = Map.groupBy(command.options, ({ helpGroupHeading = '' }) => helpGroupHeading)
  const [remarks = '', examples] = notes.split('\nExamples:\n')
  return [
    '.SH SYNOPSIS',
    escape(help.commandUsage(command)).replaceAll('\n', '\n.br\n'),
    '.SH DESCRIPTION',
    escape(command.description()),
    ...(remarks.trim() === '' ? [] : ['.PP', '.nf', escape(remarks.trim()), '.fi']),
    ...(below.length === 0 ? [] : ['.SH COMMANDS']),
    ...below.flatMap((one) => item(one.name(), one.summary() === '' ? one.description() : one.summary())),
    ...(operands.length === 0 ? [] : ['.SH OPERANDS']),
    ...operands.flatMap((one) => item(one.name(), one.description)),
    ...(command.options.length === 0 ? [] : ['.SH OPTIONS']),
    ...[...groups].flatMap(([heading, options]) => [
      ...(heading === '' ? [] : [`.SS ${escape(heading.replace(/:$/, ''))}`]),
      ...options.flatMap((option) => item(help.optionTerm(option), help.optionDescription(option))),
    ]),
    ...(examples === undefined ? [] : ['.SH EXAMPLES', '.nf', escape(examples.trimEnd()), '.fi']),
  ]
}

/** The pages of a command and of all below it, by their names. */
function pagesOf(command: Command, version: string, shown: { text: string }): Map<string, string> {
  const name = nameOf(command)
  const [root = ''] = name.split(/-(?!image)/)
  shown.text = ''
  command.outputHelp()
  const notes = shown.text
    .slice(command.helpInformation().length)
    .replace(/\nOptions of every command: .*\n$/, '')
  const summary = command.summary() === '' ? command.description() : command.summary()
  const below = command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== 'help')
  const others = [
    ...(command.parent === null ? [] : [nameOf(command.parent)]),
    ...(command.parent?.parent ? [root] : []),
    ...below.map(nameOf),
  ]
  const lines = [
    `.TH ${name.toUpperCase()} 1 "" "${root} ${version}" "User commands"`,
    '.SH NAME',
    `${escape(name)} \\- ${escape(summary)}`,
    ...sections(command, notes),
    ...(command.parent === null
      ? []
      : [
          '.PP',
          `Options of every command are in ${escape(root)}(1), variables and the file of settings in ${escape(root)}\\-config(1).`,
        ]),
    ...(others.length === 0 ? [] : ['.SH SEE ALSO', others.map((one) => `${escape(one)}(1)`).join(', ')]),
  ]
  return new Map([
    [`${name}.1`, `${lines.join('\n')}\n`],
    ...below.flatMap((one) => [...pagesOf(one, version, shown)]),
  ])
}

const directory = process.cwd()
const { version } = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) as {
  version: string
}
const { buildProgram } = (await import(pathToFileURL(path.join(directory, 'src/program.ts')).href)) as {
  readonly buildProgram: Build
}
const shown = { text: '' }
const outcome = { write: (text: string) => (shown.text += text) }
const stream = { write: () => undefined, columns: 80 }
const program = buildProgram({ stdout: stream, stderr: stream, environment: {} }, outcome, ['--help'])
const folder = path.resolve(process.argv[2] ?? path.join(directory, 'man'))
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
for (const [name, text] of pagesOf(program, version, shown)) writeFileSync(path.join(folder, name), text)
