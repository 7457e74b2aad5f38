import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

interface InstalledManifest {
  readonly name: string
  readonly version: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/** A package in a `node_modules`, by its folder relative to the project. */
export interface Installed {
  readonly directory: string
  readonly name: string
  readonly version: string
  readonly needs: readonly string[]
}

/** Every package that npm put into a project, nested ones too. */
export function readInstalled(project: string, under = 'node_modules'): Installed[] {
  const folder = path.join(project, under)
  if (!existsSync(folder)) return []
  const names = readdirSync(folder)
    .filter((name) => !name.startsWith('.'))
    .flatMap((name) =>
      name.startsWith('@') ? readdirSync(path.join(folder, name)).map((inner) => `${name}/${inner}`) : [name],
    )
  return names.flatMap((name) => {
    const directory = `${under}/${name}`
    const text = readFileSync(path.join(project, directory, 'package.json'), 'utf8')
    const { dependencies, optionalDependencies, ...manifest } = JSON.parse(text) as InstalledManifest
    const needs = Object.keys({ ...dependencies, ...optionalDependencies })
    const own = { directory, name: manifest.name, version: manifest.version, needs }
    return [own, ...readInstalled(project, `${directory}/node_modules`)]
  })
}

/** Installed packages that nothing asked for: not the ones wanted, not what these declare, and so on. */
export function findUnasked(installed: readonly Installed[], wanted: readonly string[]): string[] {
  const byName = Map.groupBy(installed, ({ name }) => name)
  const asked = new Set<string>()
  const ask = (name: string): void => {
    if (asked.has(name)) return
    asked.add(name)
    for (const { needs } of byName.get(name) ?? []) for (const need of needs) ask(need)
  }
  for (const name of wanted) ask(name)
  return [...byName.keys()].filter((name) => !asked.has(name)).toSorted()
}

/** Bytes of all files in a folder. */
export function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + lstatSync(path.join(entry.parentPath, entry.name)).size, 0)
}
