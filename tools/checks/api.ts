/** What each package offers is recorded beside it: a file of declarations for each entry point, and the command's words. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseSync } from 'oxc-parser'
import { rolldown } from 'rolldown'
import { dts } from 'rolldown-plugin-dts'
import { runAsProgram, type Problem } from './workspace.ts'
import { listFiles, readPackages, type WorkspacePackage } from './workspace.ts'

/** Declarations without comments, imports first, the others by name: who moves or explains one changes nothing. */
export function sortDeclarations(text: string): string {
  const { program, comments } = parseSync('api.d.ts', text)
  const bare = comments.reduceRight(
    (rest, { start, end }) => rest.slice(0, start) + ' '.repeat(end - start) + rest.slice(end),
    text,
  )
  const statements = program.body.map(({ start, end }) =>
    bare
      .slice(start, end)
      .replaceAll(/[ \t]*\n\s*\n/g, '\n')
      // A line for each name: two changes at once meet less often.
      .replace(
        /^(import|export|export type) \{ (.*) \}/,
        (_, words, names: string) => `${words} {\n  ${names.replaceAll(', ', ',\n  ')},\n}`,
      ),
  )
  const key = (statement: string): string =>
    statement.replace(
      /^(export |declare |abstract |default |type |interface |class |function |const )+/,
      statement.startsWith('import') ? '' : '~',
    )
  return `${statements.toSorted((a, b) => (key(a) < key(b) ? -1 : 1)).join('\n\n')}\n`
}

/** Everything that can be imported from one entry point, and what that mentions, in one file. */
async function rollUp(input: string): Promise<string> {
  const build = await rolldown({
    input,
    external: (id) => !/^[./]/.test(id),
    plugins: [dts({ dtsOnly: true, generator: 'oxc', tsconfig: false, sourcemap: false })],
  })
  const { output } = await build.generate({ format: 'esm' })
  await build.close()
  return sortDeclarations(output[0].code)
}

/** Prints every command with its arguments and options; in a process that finds the packages' sources. */
const showCommands = `
const { buildProgram } = await import(process.argv[1])
const show = (command, before) => {
  const title = before + command.name()
  console.log(title, command.usage())
  for (const { flags } of command.options) console.log(title, flags)
  for (const inner of command.commands) show(inner, title + ' ')
}
show(buildProgram({ stdout: { columns: 100 }, stderr: {}, environment: {} }, {}, []), '')
`

/** What a package's record must hold, by file. */
async function recordPackage(
  root: string,
  { directory, manifest }: WorkspacePackage,
): Promise<Map<string, string>> {
  const records = new Map<string, string>()
  for (const [subpath, entry] of Object.entries(manifest.exports ?? {})) {
    if (typeof entry === 'string') continue
    const name = subpath === '.' ? 'index' : subpath.slice(2).replaceAll('/', '-')
    const source = path.join(root, directory, entry['@disk-image/source'] ?? '')
    records.set(`${directory}/api/${name}.d.ts`, await rollUp(source))
  }
  if (manifest.bin !== undefined) {
    const program = path.join(root, directory, 'src/program.ts')
    const words = ['--conditions=@disk-image/source', '--input-type=module', '--eval', showCommands, program]
    records.set(`${directory}/api/commands.txt`, execFileSync(process.execPath, words, { encoding: 'utf8' }))
  }
  return records
}

/** Compares the records with what the packages offer. */
async function checkApi(root: string): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const unit of readPackages(root)) {
    const records = await recordPackage(root, unit)
    for (const where of listFiles(root, `${unit.directory}/api`))
      if (!records.has(where)) records.set(where, '')
    for (const [where, now] of records) {
      const file = path.join(root, where)
      if (existsSync(file) && readFileSync(file, 'utf8') === now) continue
      const { stdout } = spawnSync('diff', ['-uN', file, '-'], { input: now, encoding: 'utf8' })
      problems.push({
        where,
        what: `is not what the package offers. If that is meant, run pnpm api:accept.\n${stdout}`,
      })
    }
  }
  return problems
}

/** Writes the records anew. */
async function acceptApi(root: string): Promise<Problem[]> {
  for (const unit of readPackages(root)) {
    const records = await recordPackage(root, unit)
    rmSync(path.join(root, unit.directory, 'api'), { recursive: true, force: true })
    mkdirSync(path.join(root, unit.directory, 'api'))
    for (const [where, text] of records) writeFileSync(path.join(root, where), text)
  }
  return []
}

runAsProgram(import.meta.url, 'api', process.argv.includes('--accept') ? acceptApi : checkApi)
