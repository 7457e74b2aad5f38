import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { printable } from '@disk-image/core'
import type { Argument, Command, Option } from 'commander'
import { isSwitch } from './config/settings.ts'
import type { Perform } from './commands/perform.ts'
import { operand } from './commands/values.ts'
import type { Session } from './session.ts'

/** Milliseconds that a store has to answer: nobody waits for a Tab. */
const patienceMs = 200
const mostNames = 500
/** A name goes into a command line as it is: one that a shell would read otherwise is not offered. */
const plain = /^[\w@%+=:,.][\w@%+=:,./-]*$/

/** What may stand at the cursor: values with what they mean, and whether files do, too. */
export interface Candidates {
  readonly values: readonly (readonly [value: string, meaning: string])[]
  readonly files: 'files' | 'folders' | 'none'
  /** Whether the store's images, or the clouds of clouds.yaml, are meant as well. */
  readonly names?: 'images' | 'clouds' | undefined
}

const nothing: Candidates = { values: [], files: 'none' }

/**
 * What the command's own tree says of the last word.
 *
 * @param words behind the command's name, up to the cursor
 */
export function candidatesFor(program: Command, words: readonly string[]): Candidates {
  const current = words.at(-1) ?? ''
  let command = program
  let operands = 0
  let given: Option | undefined
  for (const word of words.slice(0, -1)) {
    if (given !== undefined) {
      given = undefined
      continue
    }
    const option = word.startsWith('-') ? findOption(command, word) : undefined
    if (option !== undefined && !isSwitch(option)) given = option
    const below = operands === 0 ? command.commands.find((one) => one.name() === word) : undefined
    if (below !== undefined) command = below
    else if (!word.startsWith('-')) operands += 1
  }
  if (given !== undefined) return valuesOf(given)
  if (current.startsWith('-')) return { values: optionsOf(command), files: 'none' }
  const visible = command.createHelp().visibleCommands(command)
  const values = operands > 0 ? [] : visible.map((one): [string, string] => [one.name(), one.summary()])
  const argument = command.registeredArguments[Math.min(operands, command.registeredArguments.length - 1)]
  return { ...operandOf(argument), values }
}

function findOption(command: Command, word: string): Option | undefined {
  for (let at: Command | null = command; at !== null; at = at.parent) {
    const found = at.options.find(({ long, short }) => word === long || word === short)
    if (found !== undefined) return found
  }
  return undefined
}

function optionsOf(command: Command): [string, string][] {
  const found: [string, string][] = []
  for (let at: Command | null = command; at !== null; at = at.parent) {
    found.push(...at.options.map(({ long, description }): [string, string] => [long ?? '', description]))
  }
  return [...found, ['--help', 'print help']]
}

function valuesOf({ argChoices, flags, long }: Option): Candidates {
  if (argChoices !== undefined) return { ...nothing, values: argChoices.map((value) => [value, '']) }
  if (long === '--cloud' || long === '--from-cloud' || long === '--serve-cloud') {
    return { ...nothing, names: 'clouds' }
  }
  if (long === '--image') return { ...nothing, names: 'images' }
  return { ...nothing, files: /<dir>/.test(flags) ? 'folders' : /file>/.test(flags) ? 'files' : 'none' }
}

function operandOf(argument: Argument | undefined): Candidates {
  if (argument === undefined) return nothing
  const { argChoices } = argument
  if (argChoices !== undefined) return { ...nothing, values: argChoices.map((value) => [value, '']) }
  const isImage = argument.name() === 'image'
  return { ...nothing, files: 'files', names: isImage ? 'images' : undefined }
}

/** `disk-image __complete WORD…`: what a shell asks. A line for each candidate, `:files` or `:folders` for the shell's own. */
async function complete(session: Session, program: Command, words: readonly string[]): Promise<void> {
  const current = words.at(-1) ?? ''
  const { values, files, names } = candidatesFor(program, words)
  const found = [...values, ...(names === undefined ? [] : await namesFor(session, names))]
  const lines = found
    .filter(([value]) => value.startsWith(current) && value !== '')
    .map(([value, meaning]) => `${value}\t${printable(meaning)}`)
  if (files !== 'none') lines.push(`:${files}`)
  if (lines.length > 0) session.io.stdout.write(`${lines.join('\n')}\n`)
}

async function namesFor(session: Session, names: 'images' | 'clouds'): Promise<[string, string][]> {
  try {
    return await (names === 'clouds' ? cloudNames(session) : imageNames(session))
  } catch {
    // A shell that completes has no place for an error.
    return []
  }
}

async function imageNames(session: Session): Promise<[string, string][]> {
  const { imageService, context } = await session.store()
  const signal = AbortSignal.any([session.io.signal, AbortSignal.timeout(patienceMs)])
  const late = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
  const images = await Promise.race([imageService.detail(context, { limit: mostNames, signal }), late])
  return images
    .flatMap(({ id, name }): [string, string][] => [
      [id, name ?? ''],
      [name ?? '', id],
    ])
    .filter(([value]) => plain.test(value))
}

async function cloudNames({ io }: Session): Promise<[string, string][]> {
  const { OS_CLIENT_CONFIG_FILE: named, HOME: home = '/' } = io.environment
  const usual = [
    'clouds.yaml',
    path.join(home, '.config/openstack/clouds.yaml'),
    '/etc/openstack/clouds.yaml',
  ]
  for (const file of named === undefined ? usual : [named]) {
    const text = await readFile(path.resolve(io.workingDirectory, file), 'utf8').catch(() => undefined)
    if (text === undefined) continue
    const { parse } = await import('yaml')
    const { clouds = {} } = parse(text) as { readonly clouds?: object }
    return Object.keys(clouds)
      .filter((name) => plain.test(name))
      .map((name) => [name, ''])
  }
  return []
}

const scripts: Readonly<Record<string, string>> = {
  bash: `# bash completion of disk-image. Use: source <(disk-image completion bash)
_disk_image() {
  local current=\${COMP_WORDS[COMP_CWORD]} value meaning
  COMPREPLY=()
  while IFS=$'\\t' read -r value meaning; do
    case $value in
      :files) compopt -o filenames; mapfile -t -O \${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$current") ;;
      :folders) compopt -o filenames; mapfile -t -O \${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$current") ;;
      *) COMPREPLY+=("$value") ;;
    esac
  done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _disk_image disk-image
`,
  zsh: `#compdef disk-image
# zsh completion of disk-image. Use: source <(disk-image completion zsh)
_disk_image() {
  local value meaning files
  local -a values
  while IFS=$'\\t' read -r value meaning; do
    case $value in
      :*) files=$value ;;
      *) values+=("\${value//:/\\\\:}\${meaning:+:$meaning}") ;;
    esac
  done < <("$words[1]" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#values )) && _describe disk-image values
  [[ $files == :files ]] && _files
  [[ $files == :folders ]] && _files -/
}
if [[ $funcstack[1] == _disk_image ]]; then _disk_image "$@"; else compdef _disk_image disk-image; fi
`,
  fish: `# fish completion of disk-image. Use: disk-image completion fish | source
function __disk_image_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] __complete -- $words[2..-1] 2>/dev/null)
    switch $line
      case ':files'
        __fish_complete_path (commandline -ct)
      case ':folders'
        __fish_complete_directories (commandline -ct)
      case '*'
        echo $line
    end
  end
end
complete -c disk-image -f -a '(__disk_image_complete)'
`,
}

const notes = `
Examples:
  $ source <(disk-image completion bash)                                  for this shell; in ~/.bashrc for each
  $ source <(disk-image completion zsh)                                   behind compinit
  $ disk-image completion fish > ~/.config/fish/completions/disk-image.fish`

/** `disk-image completion SHELL`. */
export function addCompletionCommand(program: Command, perform: Perform): void {
  const completion = program
    .command('completion')
    .summary('completion for a shell')
    .description(
      'Prints the script with which a shell completes commands, options, files, images and clouds.',
    )
    .addHelpText('after', notes)
  completion
    .addArgument(completion.createArgument('<shell>', 'bash, zsh or fish').choices(Object.keys(scripts)))
    .action(
      perform<object>(async ({ io }, _flags, operands) => {
        io.stdout.write(scripts[operand(operands, 0)] ?? '')
      }),
    )
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(perform<object>((session, _flags, operands) => complete(session, program, operands)))
}
