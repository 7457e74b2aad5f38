import { once } from 'node:events'
import path from 'node:path'
import type { Command } from 'commander'
import { GiB } from '@disk-image/core'
import type { CloudOptions, FleetWorker } from '@disk-image/fleet'
import type { NetworkOptions } from '@disk-image/image-utils'

import { type GlobalFlags, openStore, type Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { type FleetFlags, loadFleet, redisOf, withFleetOptions } from './jobs.ts'
import { withArchiveOption } from './judge-upload.ts'
import type { Perform } from './perform.ts'
import { collect, size, wholeNumber } from './values.ts'

interface WorkerFlags extends FleetFlags {
  readonly backend: string
  readonly folder?: readonly string[]
  readonly pool?: readonly string[]
  readonly serveCloud?: readonly string[]
  readonly backendJobs?: number
  readonly cloudJobs?: number
  readonly jobs?: number
  readonly conversions?: number
  readonly inFlight?: number
  readonly cache?: string
  readonly cacheSize: number
  readonly lease?: number
  readonly grace: number
  readonly passphrase?: readonly string[]
  readonly privateSources?: boolean
  readonly name?: string
  readonly hostName?: string
}

const notes = `
A job names a back end, a cloud and volumes. This worker takes those of its back end, knows the clouds that are
named with --serve-cloud (entries of clouds.yaml) and, as 'default', what --store, --glance or --cloud say, and
touches volumes inside of --folder and --pool only.

SIGTERM ends it: it takes no more jobs, waits --grace seconds for those it is at, and gives back the rest.

Examples:
  $ DISK_IMAGE_REDIS=redis://queue.example disk-image worker --folder /srv/volumes --serve-cloud production
  $ disk-image worker --backend ssd --folder /dev/vg0 --cache /var/cache/disk-image --cache-size 200`

/** `disk-image worker`: one host of a fleet. */
export function addWorkerCommand(program: Command, perform: Perform): void {
  const command = withArchiveOption(program.command('worker'))
    .summary('do the jobs of a fleet')
    .description('Takes jobs from the queue and does them, until it is ended.')
    .option('--backend <name>', 'the back end that it serves', 'default')
    .option('--folder <dir>', 'where its volumes are; may be repeated', collect)
    .option('--pool <name>', 'a Ceph pool where its volumes are; may be repeated', collect)
    .option('--serve-cloud <name>', 'a cloud of clouds.yaml that jobs may name; may be repeated', collect)
    .option('--backend-jobs <n>', 'jobs on the back end, over all workers', wholeNumber('--backend-jobs', 1))
    .option('--cloud-jobs <n>', 'jobs with each cloud, over all workers', wholeNumber('--cloud-jobs', 1))
    .option('--jobs <n>', 'jobs at the same time on this host (default: 4)', wholeNumber('--jobs', 1))
    .option('--conversions <n>', 'conversions among them (default: 2)', wholeNumber('--conversions', 1))
    .option('--in-flight <size>', 'of images in work (default: 64G)', size('--in-flight', { plain: 'G' }))
    .option('--cache <dir>', 'keep images here, so that each is downloaded once')
    .option('--cache-size <size>', 'of the cache', size('--cache-size', { plain: 'G' }), 100)
    .option(
      '--lease <s>',
      "without a sign of life, after which its jobs are another's (default: 15)",
      wholeNumber('--lease', 1),
    )
    .option('--grace <s>', 'to wait for running jobs when it is ended', wholeNumber('--grace'), 600)
    .option(
      '--passphrase <name=file>',
      'a passphrase that jobs may name, to open encrypted images; may be repeated',
      collect,
    )
    .option('--private-sources', 'let the sources of jobs lead to private addresses too: to your own servers')
    .option('--name <name>', 'of this worker (default: host and process)')
    .option('--host-name <name>', 'of this host, for workers in containers')
    .addHelpText('after', notes)
  withFleetOptions(command).action(perform<WorkerFlags>(work))
}

async function work(session: Session, flags: WorkerFlags & GlobalFlags): Promise<void> {
  const { signal } = session.io
  const worker = await start(session, flags)
  session.remark(`${worker.name} serves ${flags.backend}.`)
  if (!signal.aborted) await once(signal, 'abort')
  session.remark(`Ending: ${worker.activeJobs} jobs are at work, for ${flags.grace} s at most.`)
  await worker.close({ graceMs: flags.grace * 1000 })
  session.answer({ worker: worker.name, host: worker.host, ended: true }, [`${worker.name} has ended.`])
}

async function start(session: Session, flags: WorkerFlags): Promise<FleetWorker> {
  const { folder = [], pool = [], cache } = flags
  if (folder.length === 0 && pool.length === 0) {
    throw new UsageError('Say where the volumes are: --folder DIR or --pool NAME.')
  }
  const connection = redisOf(flags)
  const { createWorker, createRbdDriver, globalMeter } = await loadFleet()
  const { createProcessRunner } = await import('@disk-image/host')
  return createWorker({
    connection,
    prefix: flags.prefix,
    name: flags.name,
    host: flags.hostName,
    imageUtils: await session.imageUtils({ network: (reference) => networkOf(session, flags, reference) }),
    logger: session.logger,
    meter: await globalMeter(),
    clouds: cloudsOf(session, flags),
    backends: {
      [flags.backend]: {
        folders: folder.map((name) => path.resolve(session.io.workingDirectory, name)),
        pools: pool,
        maxJobs: flags.backendJobs,
        runAsRoot: session.runAsRoot,
      },
    },
    limits: {
      jobs: flags.jobs,
      conversions: flags.conversions,
      bytesInFlight: flags.inFlight === undefined ? undefined : Math.round(flags.inFlight * GiB),
    },
    ...(cache === undefined
      ? {}
      : { cache: { directory: session.resolve(cache), maxBytes: Math.round(flags.cacheSize * GiB) } }),
    ...(pool.length === 0 ? {} : { rbd: createRbdDriver({ runner: createProcessRunner() }) }),
    passphrases: passphrasesOf(session, flags),
    leaseMs: flags.lease === undefined ? undefined : flags.lease * 1000,
  })
}

/** Whoever submits a job is a stranger: its source leads to the public internet only, unless the operator says more. */
async function networkOf(
  session: Session,
  { privateSources = false }: WorkerFlags,
  reference: string,
): Promise<NetworkOptions> {
  const { readNetworkOptions } = await import('./network.ts')
  const { url, oci, s3 } = await readNetworkOptions(session, reference, true)
  const allow = { privateAddresses: privateSources }
  return { url: { ...url, allow }, oci: { ...oci, allow }, s3: { ...s3, allow } }
}

/** Files by the names that jobs have for them. */
function passphrasesOf(session: Session, { passphrase: given = [] }: WorkerFlags): Record<string, string> {
  const pairs = given.map((text): [string, string] => {
    const at = text.indexOf('=')
    if (at < 1) throw new UsageError(`--passphrase must be NAME=FILE; it is ${JSON.stringify(text)}.`)
    return [text.slice(0, at), session.resolve(text.slice(at + 1))]
  })
  return Object.fromEntries(pairs)
}

/** What each name in a job leads to. Nothing is signed in to before a job needs it. */
function cloudsOf(session: Session, flags: WorkerFlags): Record<string, CloudOptions> {
  const maxJobs = flags.cloudJobs
  const named = (flags.serveCloud ?? []).map((name): [string, CloudOptions] => [
    name,
    { maxJobs, open: () => openStore(session, { kind: 'cloud', name }) },
  ])
  const fallback: CloudOptions = {
    maxJobs,
    open: async () => {
      const { imageService, context } = await session.store()
      return { imageService, context }
    },
  }
  return Object.fromEntries([['default', fallback], ...named])
}
