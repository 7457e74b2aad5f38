import path from 'node:path'
import { fileURLToPath } from 'node:url'

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
