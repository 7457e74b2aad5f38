import type { Problem } from '../report.ts'
import { compareRecords } from './changes.ts'
import { type Level, levelForBreaking, reaches } from './changeset-levels.ts'

/** A package at the branch's base and now. */
export interface ComparedPackage {
  readonly name: string
  /** Its record, relative to the repository. */
  readonly where: string
  /** Names of the packages it depends on. */
  readonly dependencies: readonly string[]
  readonly now: string
  /** Absent: nobody has it yet. */
  readonly released: { readonly version: string; readonly record: string } | undefined
}

/** What a package's users notice. */
interface Noticed {
  readonly wanted: Level
  readonly why: string
}

/** The name that a line of `compareRecords` is about: `Clock` of `Clock.wallMs is gone`. */
function subjectOf(line: string): string {
  return /^[\w$]+/.exec(line)?.[0] ?? ''
}

function list(lines: readonly string[]): string {
  return `:\n${lines.map((line) => `  ${line}\n`).join('')}`
}

function noticeOwn(version: string, breaking: readonly string[], changed: boolean): Noticed | undefined {
  if (breaking.length > 0) {
    return { wanted: levelForBreaking(version), why: `breaks what users of ${version} have${list(breaking)}` }
  }
  return changed ? { wanted: 'patch', why: `offers something else than ${version} did. ` } : undefined
}

/**
 * Whether what changed since the base goes with the waiting changesets. A package that shows a broken name of
 * another one in its own functions breaks with it.
 */
export function checkLevels(
  packages: readonly ComparedPackage[],
  levels: ReadonlyMap<string, Level>,
): Problem[] {
  const breaks = new Map<string, readonly string[]>()
  const noticed = packages.map((unit): [ComparedPackage, Noticed | undefined] => {
    if (unit.released === undefined) return [unit, undefined]
    const { version, record } = unit.released
    const { breaking, changed } = compareRecords(record, unit.now)
    breaks.set(unit.name, breaking)
    return [unit, noticeOwn(version, breaking, changed)]
  })
  return noticed.flatMap(([unit, own]) => {
    if (unit.released === undefined) return []
    const { version } = unit.released
    const shown = unit.dependencies.flatMap((name) =>
      (breaks.get(name) ?? []).filter((line) => new RegExp(`\\b${subjectOf(line)}\\b`).test(unit.now)),
    )
    const inherited: Noticed | undefined =
      shown.length === 0
        ? undefined
        : {
            wanted: levelForBreaking(version),
            why: `shows its users what a package under it breaks${list(shown)}`,
          }
    const { wanted, why } =
      inherited !== undefined && !reaches(own?.wanted ?? 'none', inherited.wanted)
        ? inherited
        : (own ?? { wanted: 'none' as const, why: '' })
    const level = levels.get(unit.name) ?? 'none'
    if (reaches(level, wanted)) return []
    const there = level === 'none' ? 'none' : `one of ${level}`
    return [
      {
        where: unit.where,
        what: `${why}That needs a changeset of level ${wanted} for ${unit.name}; there is ${there}. Run pnpm changeset.`,
      },
    ]
  })
}
