import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { WorkspacePackage } from '../workspace.ts'

/** Runs in a process of its own, which finds the sources of the packages. */
const program = `
const { buildProgram } = await import(process.argv[1])
const show = (command, before) => {
  const words = command.registeredArguments.map((argument) => {
    const name = argument.variadic ? argument.name() + '...' : argument.name()
    return argument.required ? '<' + name + '>' : '[' + name + ']'
  })
  const title = before + command.name()
  console.log([title, ...words].join(' '))
  for (const { flags } of command.options.toSorted((a, b) => (a.flags < b.flags ? -1 : 1))) console.log(title, flags)
  for (const inner of command.commands) show(inner, title + ' ')
}
show(buildProgram({ stdout: { columns: 100 }, stderr: {}, environment: {} }, {}, []), '')
`

/** What can be typed: every command with its arguments, every option. */
export function recordCommands(root: string, unit: WorkspacePackage): string {
  const file = pathToFileURL(path.join(root, unit.directory, 'src/program.ts')).href
  const words = ['--conditions=@disk-image/source', '--input-type=module', '--eval', program, file]
  return `[commands]\n${execFileSync(process.execPath, words, { cwd: root, encoding: 'utf8' })}`
}
