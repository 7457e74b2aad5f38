import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { WorkspacePackage } from '../workspace.ts'

/** The parts of commander's commands that are recorded. */
interface Command {
  name(): string
  readonly commands: readonly Command[]
  readonly options: readonly { readonly flags: string }[]
  readonly registeredArguments: readonly {
    name(): string
    readonly required: boolean
    readonly variadic: boolean
  }[]
}

interface ProgramModule {
  readonly buildProgram: (io: object, outcome: object) => Command
}

function lines(command: Command, before: string): string[] {
  const words = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? '...' : ''}`
    return argument.required ? `<${name}>` : `[${name}]`
  })
  const title = `${before}${command.name()}`
  return [
    [title, ...words].join(' '),
    ...command.options.map(({ flags }) => `${title} ${flags}`).toSorted(),
    ...command.commands.flatMap((inner) => lines(inner, `${title} `)),
  ]
}

/** What can be typed: every command with its arguments, every option. Needs a build. */
export async function recordCommands(root: string, unit: WorkspacePackage): Promise<string> {
  const file = path.join(root, unit.directory, 'dist/program.js')
  const { buildProgram } = (await import(pathToFileURL(file).href)) as ProgramModule
  const program = buildProgram({ stdout: { columns: 100 }, stderr: {}, environment: {} }, {})
  return `[commands]\n${lines(program, '').join('\n')}\n`
}
