import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'
import { expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'

const run = promisify(execFile)
const example = (name: string): string =>
  fileURLToPath(new URL(`../../../../docs/examples/fleet/${name}`, import.meta.url))
const command = fileURLToPath(new URL('../../../cli/src/main.ts', import.meta.url))

/** Every long option that the command has. */
async function knownOptions(): Promise<Set<string>> {
  const helps = [
    ['worker', '--help'],
    ['help', 'options'],
  ].map((words) => run(process.execPath, ['--conditions=@disk-image/source', command, ...words]))
  const said = (await Promise.all(helps)).map(({ stdout }) => stdout).join('\n')
  return new Set(said.match(/--[a-z][a-z-]+/g))
}

test('systemd takes the unit, and the command its options', async () => {
  const unit = example('disk-image-worker.service')
  const { stdout, stderr } = await run(requireTool('systemd-analyze', 'systemd'), [
    'verify',
    '--man=no',
    unit,
  ])
  // It also says what it thinks of the units that it finds on this machine.
  const remarks = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('disk-image-worker'))
  expect(remarks).toEqual([])
  const text = await readFile(unit, 'utf8')
  const line = text.split('\n').find((one) => one.startsWith('ExecStart=')) ?? ''
  const known = await knownOptions()
  for (const option of line.match(/--[a-z][a-z-]+/g) ?? []) expect(known).toContain(option)
  // systemd gives it longer than it asks for.
  const grace = Number(/--grace (\d+)/.exec(line)?.[1])
  expect(Number(/TimeoutStopSec=(\d+)/.exec(text)?.[1])).toBeGreaterThan(grace)
})

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly spec?: {
    readonly selector?: { readonly matchLabels?: Record<string, string> } & Record<string, unknown>
    readonly template?: {
      readonly metadata: { readonly labels: Record<string, string> }
      readonly spec: {
        readonly terminationGracePeriodSeconds?: number
        readonly containers: readonly {
          readonly name: string
          readonly args: readonly string[]
          readonly env: readonly { readonly name: string }[]
          readonly volumeMounts: readonly { readonly name: string }[]
        }[]
        readonly volumes?: readonly { readonly name: string }[]
      }
    }
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[]
  }
}

test('the manifest holds together', async () => {
  const documents = parseAllDocuments(await readFile(example('kubernetes.yaml'), 'utf8'), { strict: true })
  expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([])
  const manifests = documents.map((document) => document.toJS() as Manifest)
  expect(manifests.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`)).toEqual([
    'v1 Namespace',
    'v1 Service',
    'apps/v1 StatefulSet',
    'apps/v1 DaemonSet',
  ])
  const known = await knownOptions()
  for (const { kind, metadata, spec } of manifests.slice(2)) {
    expect(metadata.namespace, kind).toBe('disk-image')
    expect(spec?.template?.metadata.labels).toEqual(spec?.selector?.matchLabels)
    const pod = spec?.template?.spec
    const names = [
      ...(pod?.volumes ?? []).map(({ name }) => name),
      ...(spec?.volumeClaimTemplates ?? []).map((claim) => claim.metadata.name),
    ]
    for (const container of pod?.containers ?? []) {
      expect(names).toEqual(expect.arrayContaining(container.volumeMounts.map(({ name }) => name)))
      const variables = container.env.map(({ name }) => name)
      for (const [, name] of container.args.join(' ').matchAll(/\$\((\w+)\)/g))
        expect(variables).toContain(name)
      if (kind !== 'DaemonSet') continue
      for (const option of container.args.filter((word) => word.startsWith('--')))
        expect(known).toContain(option)
      const grace = Number(container.args[container.args.indexOf('--grace') + 1])
      expect(pod?.terminationGracePeriodSeconds).toBeGreaterThan(grace)
    }
  }
})

test.each(['dashboard.mjs', 'metrics.mjs'])('%s is whole', async (name) => {
  await run(process.execPath, ['--check', example(name)])
  const text = await readFile(example(name), 'utf8')
  expect(text).toContain("'127.0.0.1'")
})
