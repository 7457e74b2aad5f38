import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The parts of a `package.json` that the checks read. */
export interface Manifest {
  readonly name: string
  readonly private?: boolean
  readonly description?: string
  readonly license?: string
  readonly type?: string
  readonly files?: readonly string[]
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly bin?: Readonly<Record<string, string>>
  readonly engines?: Readonly<Record<string, string>>
  readonly publishConfig?: Readonly<Record<string, unknown>>
  readonly repository?: Readonly<Record<string, string>>
  readonly sideEffects?: boolean | readonly string[]
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/** One folder of `packages/`. */
export interface WorkspacePackage {
  /** The folder's name: `core`, `qemu-img` … */
  readonly folder: string
  /** Relative to the repository, with `/`. */
  readonly directory: string
  readonly manifest: Manifest
}

/** Reads a JSON file that we wrote ourselves. */
export function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** Every package under `packages/`, in the order of their names. */
export function readPackages(root: string): WorkspacePackage[] {
  const base = path.join(root, 'packages')
  return readdirSync(base)
    .toSorted()
    .filter((folder) => existsSync(path.join(base, folder, 'package.json')))
    .map((folder) => ({
      folder,
      directory: `packages/${folder}`,
      manifest: readJson(path.join(base, folder, 'package.json')) as Manifest,
    }))
}

/** Folders that hold data, or what another tool made. */
const skipped = new Set(['node_modules', 'dist', 'fixtures', 'vectors', '.turbo', 'coverage'])

/** Every file under a folder of the repository, relative to the root; none where the folder is missing. */
export function listFiles(root: string, directory: string): string[] {
  const absolute = path.join(root, directory)
  if (!existsSync(absolute)) return []
  return readdirSync(absolute, { withFileTypes: true }).flatMap((entry) => {
    const file = `${directory}/${entry.name}`
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : listFiles(root, file)
    return entry.isFile() ? [file] : []
  })
}

/** Every file under version control, and every new one that is not ignored; relative to the root. */
export function listProjectFiles(root: string): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  return listed.split('\0').filter((file) => file !== '' && existsSync(path.join(root, file)))
}

/** The top folder of this repository. */
const repositoryRoot: string = path.resolve(import.meta.dirname, '../..')

/** Something that breaks a rule: where, and what would be right. */
export interface Problem {
  /** A file or folder, relative to the repository. */
  readonly where: string
  readonly what: string
}

/** Runs a check when its file is the program: prints what it found, and fails where it found something. */
export function runAsProgram(
  moduleUrl: string,
  name: string,
  check: (root: string) => Problem[] | Promise<Problem[]>,
): void {
  if (process.argv[1] === undefined || path.resolve(process.argv[1]) !== fileURLToPath(moduleUrl)) return
  const finish = (problems: Problem[]): void => {
    for (const { where, what } of problems) console.error(`${where}: ${what}`)
    console.log(problems.length === 0 ? `${name}: in order` : `${name}: ${problems.length} problem(s)`)
    if (problems.length > 0) process.exitCode = 1
  }
  void Promise.resolve(check(repositoryRoot)).then(finish)
}
