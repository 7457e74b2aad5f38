import path from 'node:path'
import { execFile } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { createGlanceClient } from '@disk-image/glance-client'
import { findTool, requireTool, startGlance, startNginx } from '@disk-image/testing'

/* oxlint-disable no-console -- a script whose output is its result */
// Download and upload against curl and the Python clients, interleaved, each in a process of its own.
//   node --conditions=@disk-image/source bench/transfer.ts [--size MiB] [--runs N] [--directory DIR] [--json]

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '1024' },
    runs: { type: 'string', default: '3' },
    directory: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
})
const sizeBytes = Number(values.size) * 1024 * 1024
const run = promisify(execFile)
const worker = fileURLToPath(new URL('one-transfer.ts', import.meta.url))
const directory = await mkdtemp(path.join(values.directory, 'glance-client-bench-'))

interface Measure {
  readonly seconds: number
  readonly processorSeconds: number
  readonly maximumResidentMiB: number
}

/** Runs a command under GNU time's eyes, or rather bash's and the kernel's. */
async function measure(command: string, args: readonly string[]): Promise<Measure> {
  const script =
    'import os,sys,time\nb=time.monotonic()\np=os.fork()\n' +
    'if p==0:\n os.execvp(sys.argv[1],sys.argv[1:])\n' +
    '_,s,u=os.wait4(p,0)\nprint(time.monotonic()-b,u.ru_utime+u.ru_stime,u.ru_maxrss/1024,file=sys.stderr)\nsys.exit(1 if s else 0)'
  const { stderr } = await run('/usr/bin/python3', ['-c', script, command, ...args], {
    maxBuffer: 1 << 26,
    env: { PATH: '/usr/bin:/bin', HOME: directory, LC_ALL: 'C.UTF-8' },
  })
  const [seconds = 0, processorSeconds = 0, maximumResidentMiB = 0] = (stderr.trim().split('\n').at(-1) ?? '')
    .split(' ')
    .map(Number)
  return { seconds, processorSeconds, maximumResidentMiB }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((left, right) => left - right)[Math.floor(numbers.length / 2)] ?? 0
}

const file = path.join(directory, 'image.raw')
const destination = path.join(directory, 'destination.raw')
const handle = await open(file, 'w')
const block = Buffer.alloc(4 * 1024 * 1024)
for (let at = 0; at < sizeBytes; at += block.length) {
  randomFillSync(block)
  await handle.write(block, 0, Math.min(block.length, sizeBytes - at), at)
}
await handle.close()

const node = process.execPath
const ours = (verb: string, url: string, id: string, target: string): readonly [string, string[]] => [
  node,
  ['--conditions=@disk-image/source', worker, verb, url, id, target],
]
try {
  requireTool('curl')
  await using nginx = await startNginx({ images: [{ file }], parentDirectory: directory })
  await using glance = await startGlance()
  await using client = createGlanceClient({ endpoint: glance.url })
  const emptyImage = async (): Promise<string> =>
    (await client.create({ name: 'bench', disk_format: 'raw', container_format: 'bare' })).id
  const stored = await emptyImage()
  await measure(...ours('upload', glance.url, stored, file))
  const served = nginx.images[0]?.id ?? ''
  const floor = (url: string): readonly [string, string[]] => [
    '/bin/bash',
    ['-c', `set -o pipefail; curl -sf '${url}' | tee '${destination}' | openssl dgst -sha512 >/dev/null`],
  ]
  const noKeystone = ['--os-image-url', glance.url, '--os-auth-token', 'none']
  const jobs: [string, () => Promise<Measure> | Measure][] = [
    ['nginx → file, verified: this', () => measure(...ours('download', nginx.url, served, destination))],
    ['nginx → file: curl | tee | openssl', () => measure(...floor(`${nginx.url}/v2/images/${served}/file`))],
    ['Glance → file, verified: this', () => measure(...ours('download', glance.url, stored, destination))],
    [
      'Glance → file: curl | tee | openssl',
      () => measure(...floor(`${glance.url}/v2/images/${stored}/file`)),
    ],
    ['file → Glance: this', async () => measure(...ours('upload', glance.url, await emptyImage(), file))],
    [
      'file → Glance: curl -T',
      async () => {
        const url = `${glance.url}/v2/images/${await emptyImage()}/file`
        return measure('curl', ['-sf', '-H', 'Content-Type: application/octet-stream', '-T', file, url])
      },
    ],
  ]
  if (findTool('glance') !== undefined) {
    const command = '/usr/bin/glance'
    jobs.push([
      'Glance → file, verified: glance',
      () => measure(command, [...noKeystone, 'image-download', '--file', destination, stored]),
    ])
  }
  if (findTool('openstack') !== undefined) {
    const command = '/usr/bin/openstack'
    const none = ['--os-auth-type', 'none', '--os-endpoint', glance.url]
    jobs.push([
      'Glance → file: openstack',
      () => measure(command, [...none, 'image', 'save', '--file', destination, stored]),
    ])
  }
  const results = new Map<string, Measure[]>()
  for (let turn = 0; turn < Number(values.runs); turn += 1) {
    for (const [name, job] of jobs) {
      await rm(destination, { force: true })
      results.set(name, [...(results.get(name) ?? []), await job()])
    }
  }
  const table = Object.fromEntries(
    [...results].map(([name, all]) => {
      const seconds = median(all.map((one) => one.seconds))
      return [
        name,
        {
          seconds: Number(seconds.toFixed(2)),
          'MiB/s': Math.round(sizeBytes / 1024 / 1024 / seconds),
          'CPU s': Number(median(all.map((one) => one.processorSeconds)).toFixed(2)),
          'RSS MiB': Math.round(Math.max(...all.map((one) => one.maximumResidentMiB))),
        },
      ]
    }),
  )
  if (values.json) console.log(JSON.stringify({ sizeBytes, runs: Number(values.runs), results: table }))
  else console.table(table)
} finally {
  await rm(directory, { recursive: true, force: true })
}
