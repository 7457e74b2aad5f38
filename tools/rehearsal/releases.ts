import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { execa } from 'execa'
import { readInstalled } from './installed.ts'
import { createProject, installWithNpm } from './project.ts'
import type { Registry } from './registry.ts'
import { addChangeset, readVersions, release, type Versions } from './release.ts'
import { commitAll } from './copy.ts'

/** One release of the rehearsal: what it was about, what came of it. */
export interface ReleaseReport {
  readonly what: string
  readonly released: Versions
  readonly kept: Versions
  readonly problems: readonly string[]
}

/** A change of one line in a package, as if somebody had mended it: the build is changed, too. */
async function change(clone: string, folder: string, word: string): Promise<void> {
  for (const file of ['src/index.ts', 'dist/index.js']) {
    const target = path.join(clone, 'packages', folder, file)
    writeFileSync(target, `// ${word}\n${readFileSync(target, 'utf8')}`)
  }
  await commitAll(clone, word)
}

function next(version: string, level: 'patch' | 'minor'): string {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  return level === 'patch' ? `${major}.${minor}.${patch + 1}` : `${major}.${minor + 1}.0`
}

function difference(expected: Versions, released: Versions): string[] {
  const names = new Set([...Object.keys(expected), ...Object.keys(released)])
  return [...names]
    .filter((name) => expected[name] !== released[name])
    .map(
      (name) => `${name} should be ${expected[name] ?? 'as it was'}, and is ${released[name] ?? 'as it was'}`,
    )
}

/** What a changelog lacks in the section of a version. */
function checkChangelog(clone: string, folder: string, version: string, text: string): string[] {
  const changelog = readFileSync(path.join(clone, 'packages', folder, 'CHANGELOG.md'), 'utf8')
  const [, section = ''] = changelog.split(`\n## ${version}\n`)
  const own = section.split('\n## ')[0] ?? ''
  return own.includes(text) ? [] : [`the changelog of ${folder} ${version} does not say '${text}'`]
}

/** Installs the facade anew and lets it work; returns the versions that arrived. */
async function installFacade(registry: Registry, project: string): Promise<[Versions, string[]]> {
  createProject(project)
  await installWithNpm(project, registry, ['@disk-image/image-utils', '@disk-image/cli'])
  const installed = readInstalled(project).filter(({ name }) => name.startsWith('@disk-image/'))
  const problems = [...Map.groupBy(installed, ({ name }) => name)]
    .filter(([, copies]) => copies.length > 1)
    .map(([name]) => `${name} is installed twice`)
  const { failed, all } = await execa('node_modules/.bin/disk-image', ['inspect', 'package.json'], {
    cwd: project,
    all: true,
    reject: false,
    preferLocal: true,
  })
  if (failed) problems.push(`the installed command failed: ${all}`)
  return [Object.fromEntries(installed.map(({ name, version }) => [name, version])), problems]
}

function without(all: Versions, some: Versions): Versions {
  return Object.fromEntries(Object.entries(all).filter(([name]) => !(name in some)))
}

/** The first release: every package, at the version that the waiting changesets make of it. */
export async function releaseFirst(clone: string, registry: Registry): Promise<ReleaseReport> {
  const released = await release(clone, registry)
  const versions = readVersions(clone)
  const problems = difference(versions, released)
  const zero = Object.entries(versions).filter(([, version]) => version === '0.0.0')
  problems.push(...zero.map(([name]) => `${name} has no changeset, and would never be released`))
  return { what: 'everything, for the first time', released, kept: without(versions, released), problems }
}

/** A patch to one package: it alone is released, and reaches the users of the facade all the same. */
export async function releasePatch(
  clone: string,
  registry: Registry,
  folder: string,
): Promise<ReleaseReport> {
  const before = readVersions(clone)
  const text = 'A disk of one sector is read whole.'
  await change(clone, 'vhd', 'mended')
  addChangeset(clone, 'mended', { '@disk-image/vhd': 'patch' }, text)
  const released = await release(clone, registry)
  const version = next(before['@disk-image/vhd'] ?? '', 'patch')
  const [arrived, problems] = await installFacade(registry, path.join(folder, 'after-patch'))
  problems.push(...difference({ '@disk-image/vhd': version }, released))
  problems.push(...checkChangelog(clone, 'vhd', version, text))
  if (arrived['@disk-image/vhd'] !== version) {
    problems.push(`who installs the facade gets vhd ${arrived['@disk-image/vhd']}`)
  }
  return { what: 'a patch to vhd', released, kept: without(before, released), problems }
}

/**
 * A breaking change to core, which before 1.0.0 is a minor release: everything that stands on core is released
 * with its range raised, so that nobody ends up with two cores. The facade, whose own users it concerns, is named in
 * the changeset, too, and gets the same level; the others get a patch.
 */
export async function releaseBreaking(
  clone: string,
  registry: Registry,
  folder: string,
): Promise<ReleaseReport> {
  const before = readVersions(clone)
  const text = 'Clock.wallMs() is gone.'
  await change(clone, 'core', 'broken')
  const levels = { '@disk-image/core': 'minor', '@disk-image/image-utils': 'minor' } as const
  addChangeset(clone, 'broken', levels, text)
  const released = await release(clone, registry)
  const expected = Object.fromEntries(
    Object.entries(before).map(([name, version]) => [
      name,
      next(version, name in levels ? 'minor' : 'patch'),
    ]),
  )
  const problems = difference(expected, released)
  problems.push(...checkChangelog(clone, 'core', expected['@disk-image/core'] ?? '', text))
  problems.push(
    ...checkChangelog(
      clone,
      'vhd',
      expected['@disk-image/vhd'] ?? '',
      `@disk-image/core@${expected['@disk-image/core']}`,
    ),
  )
  const [arrived, wrong] = await installFacade(registry, path.join(folder, 'after-breaking'))
  problems.push(...wrong, ...difference(arrived, { ...arrived, ...pick(expected, Object.keys(arrived)) }))
  return { what: 'a breaking change to core', released, kept: without(before, released), problems }
}

function pick(versions: Versions, names: readonly string[]): Versions {
  return Object.fromEntries(names.map((name) => [name, versions[name] ?? '']))
}

/** Nothing waits: nothing is released. */
export async function releaseNothing(clone: string, registry: Registry): Promise<ReleaseReport> {
  const before = readVersions(clone)
  await change(clone, 'host', 'no changeset')
  const released = await release(clone, registry).catch((error: unknown) => {
    if (String(error).includes('No unreleased changesets found')) return {}
    throw error
  })
  return {
    what: 'a change without a changeset',
    released,
    kept: before,
    problems: difference({}, released),
  }
}
