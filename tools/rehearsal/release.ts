import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Level } from '../checks/api/changeset-levels.ts'
import { readPackages } from '../checks/workspace.ts'
import { commitAll } from './copy.ts'
import type { Registry } from './registry.ts'
import { run } from './run.ts'

/** Versions by package name. */
export type Versions = Readonly<Record<string, string>>

export function readVersions(folder: string): Versions {
  return Object.fromEntries(
    readPackages(folder).map(({ manifest }) => [
      manifest.name,
      (manifest as unknown as { readonly version: string }).version,
    ]),
  )
}

/** Writes a changeset as `pnpm changeset` does. */
export function addChangeset(
  folder: string,
  name: string,
  levels: Readonly<Record<string, Level>>,
  text: string,
): void {
  const head = Object.entries(levels).map(([each, level]) => `'${each}': ${level}`)
  writeFileSync(
    path.join(folder, '.changeset', `${name}.md`),
    ['---', ...head, '---', '', text, ''].join('\n'),
  )
}

/**
 * What the workflow does when its pull request is merged: `changeset version`, then `changeset publish`.
 *
 * @returns the versions that are new in the registry
 */
export async function release(folder: string, registry: Registry): Promise<Versions> {
  const names = Object.keys(readVersions(folder))
  const before = new Map(
    await Promise.all(names.map(async (name) => [name, await registry.versions(name)] as const)),
  )
  const environment = { ...registry.environment, CI: 'true' }
  await run('pnpm', ['exec', 'changeset', 'version'], { cwd: folder, environment })
  await commitAll(folder, 'Version packages')
  await run('pnpm', ['exec', 'changeset', 'publish'], { cwd: folder, environment, timeoutMs: 300_000 })
  const released: Record<string, string> = {}
  for (const name of names) {
    const added = (await registry.versions(name)).filter((version) => !before.get(name)?.includes(version))
    if (added.length > 1) throw new Error(`${name} was released ${added.length} times: ${added.join(', ')}`)
    if (added[0] !== undefined) released[name] = added[0]
  }
  return released
}
