import { setTimeout as sleep } from 'node:timers/promises'
import { runAsProgram, type Problem } from './report.ts'
import { readPackages } from './workspace.ts'

interface Attestations {
  readonly attestations?: readonly { readonly predicateType?: string }[]
}

/** What is missing of a published version: the version itself, or the proof of where it was built. */
async function checkVersion(registry: string, name: string, version: string): Promise<string | undefined> {
  const published = await fetch(`${registry}/${name.replace('/', '%2f')}/${version}`)
  if (!published.ok) return `${version} is not in the registry (${published.status})`
  const answer = await fetch(`${registry}/-/npm/v1/attestations/${name.replace('/', '%2f')}@${version}`)
  if (!answer.ok) return `${version} was published without provenance (${answer.status})`
  const { attestations = [] } = (await answer.json()) as Attestations
  return attestations.some(({ predicateType = '' }) =>
    predicateType.startsWith('https://slsa.dev/provenance/'),
  )
    ? undefined
    : `${version} has attestations, but none of its provenance`
}

/**
 * Whether every package is published at the version that the repository says, with provenance. A publish that
 * could not prove itself may still have succeeded with less: this is asked afterwards.
 */
export async function checkProvenance(
  root: string,
  registry: string = 'https://registry.npmjs.org',
): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const { directory, manifest } of readPackages(root)) {
    const { name, version } = manifest as typeof manifest & { readonly version: string }
    const what = await checkVersion(registry, name, version)
    if (what !== undefined) problems.push({ where: directory, what })
  }
  return problems
}

/** A registry shows what it was given after a while: it is asked for up to five minutes. */
async function askPatiently(root: string): Promise<Problem[]> {
  for (let attempt = 1; attempt < 10; attempt += 1) {
    if ((await checkProvenance(root)).length === 0) return []
    await sleep(30_000)
  }
  return checkProvenance(root)
}

runAsProgram(import.meta.url, 'provenance', askPatiently)
