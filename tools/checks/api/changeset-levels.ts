import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

export type Level = 'none' | 'patch' | 'minor' | 'major'

const order: readonly Level[] = ['none', 'patch', 'minor', 'major']

/** Whether a level is at least another. */
export function reaches(level: Level, wanted: Level): boolean {
  return order.indexOf(level) >= order.indexOf(wanted)
}

/** The highest level that the waiting changesets have for each package. */
export function readLevels(root: string): ReadonlyMap<string, Level> {
  const levels = new Map<string, Level>()
  const folder = path.join(root, '.changeset')
  const files = existsSync(folder) ? readdirSync(folder) : []
  for (const file of files.filter((name) => name.endsWith('.md') && name !== 'README.md')) {
    const [, head = ''] = /^---\n([\s\S]*?)\n---/.exec(readFileSync(path.join(folder, file), 'utf8')) ?? []
    for (const line of head.split('\n')) {
      const [, name, level] = /^['"]?(@?[\w/-]+)['"]?: (none|patch|minor|major)$/.exec(line.trim()) ?? []
      if (name === undefined) continue
      if (reaches(level as Level, levels.get(name) ?? 'none')) levels.set(name, level as Level)
    }
  }
  return levels
}

/** What a breaking change needs: before 1.0.0 a minor release may break, after it only a major one. */
export function levelForBreaking(version: string): Level {
  return version.startsWith('0.') ? 'minor' : 'major'
}
