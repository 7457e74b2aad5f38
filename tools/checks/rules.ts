/** The scope of every package in `packages/`. */
export const scope = '@disk-image/'

/**
 * Who may import whom: a star, not a web.
 *
 * core knows nobody, io stands on core as the siblings' floor, siblings know core and io, the facade knows the
 * siblings, the fleet knows the facade, the command knows both.
 */
export const allowedPackages: Readonly<Record<string, readonly string[]>> = {
  core: [],
  io: ['core'],
  disk: ['core', 'io'],
  host: ['core', 'io'],
  'qemu-img': ['core'],
  'format-policy': ['core'],
  'glance-client': ['core', 'io'],
  vhd: ['core', 'io'],
  'image-utils': ['core', 'io', 'disk', 'host', 'qemu-img', 'format-policy', 'glance-client', 'vhd'],
  fleet: ['core', 'io', 'image-utils'],
  cli: ['core', 'io', 'image-utils', 'fleet'],
}

/** Modules with an effect, and the only places that may import them. */
export interface EffectRule {
  readonly modules: readonly string[]
  /** Folders, relative to the repository. */
  readonly allowedIn: readonly string[]
  readonly reason: string
}

/** Effects stand at the rim. */
export const effectRules: readonly EffectRule[] = [
  {
    modules: ['execa', 'node:child_process', 'node:cluster'],
    allowedIn: ['packages/host/src/'],
    reason: 'only host starts processes; take a ProcessRunner',
  },
  {
    modules: ['undici', 'node:http', 'node:https', 'node:http2', 'node:net', 'node:tls', 'node:dgram'],
    allowedIn: ['packages/glance-client/src/'],
    reason: 'only glance-client talks to the network; take an ImageService',
  },
  {
    modules: ['bullmq', 'ioredis'],
    allowedIn: ['packages/fleet/src/'],
    reason: 'only fleet knows the queue',
  },
  {
    modules: ['tar'],
    allowedIn: ['packages/vhd/src/'],
    reason: 'only vhd reads archives',
  },
  {
    modules: ['@opentelemetry/api'],
    allowedIn: ['packages/image-utils/src/telemetry/', 'packages/fleet/src/worker/metrics.ts'],
    reason:
      'only the telemetry of the facade and the metrics of the fleet know OpenTelemetry; take a Telemetry',
  },
  {
    modules: ['node:worker_threads'],
    allowedIn: ['packages/io/src/', 'packages/disk/src/qcow2/'],
    reason: 'worker threads are for hashing and for decoding qcow2',
  },
]

/** Packages that run anywhere, a browser included. */
export const withoutNode: readonly string[] = ['core', 'format-policy']

/** Packages that are programs: only they read the environment. */
export const programs: readonly string[] = ['cli']

/** Constants that hold state of the whole process, by file. @see docs/decisions/0014-state-of-a-process.md */
export const processState: Readonly<Record<string, readonly string[]>> = {
  'packages/io/src/memory/page-memory.ts': ['aligned'],
  'packages/host/src/volume/direct-writes.ts': ['underWayOfAll'],
}
