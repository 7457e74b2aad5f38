import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { requireTool } from './require-tool.ts'

/** Which Glance is wanted. */
export interface GlanceOptions {
  /**
   * `noauth`: every caller is an administrator. `trusted`: identity comes from request headers.
   * `keystone`: with a Keystone of its own. @default 'noauth'
   */
  readonly mode?: 'noauth' | 'trusted' | 'keystone'
  /** `multi`: the stores `fast`, `slow` and the read-only `web`. @default 'single' */
  readonly stores?: 'single' | 'multi'
  /** With a Barbican; needs Keystone. @default false */
  readonly barbican?: boolean
  /** `uwsgi` leaves Content-Length out, so that a body ends with its connection. @default 'eventlet' */
  readonly engine?: 'eventlet' | 'uwsgi'
  /** Enforce the new scope-aware policies. @default false */
  readonly secureRbac?: boolean
  /** Glance's image cache; the first download of an image is then chunked. @default false */
  readonly caching?: boolean
  /** Python's name of the hash that Glance computes. @default 'sha512' */
  readonly hash?: string
  /** Seconds that Keystone's tokens live. @default 3600 */
  readonly tokenLifeSeconds?: number
}

/** A Glance that runs, with everything it owns in one temporary directory. */
export interface RunningGlance extends AsyncDisposable {
  /** Without version. */
  readonly url: string
  readonly keystoneUrl: string | undefined
  readonly barbicanUrl: string | undefined
  readonly directory: string
  /** Entries demo, admin, admin-in-demo, other, appcred, noversion. */
  readonly cloudsFile: string | undefined
  /** `OS_*` of the user demo, and ids and passwords of the fixtures as `X_*`. */
  readonly environment: Readonly<Record<string, string>>
  /** Kills Glance without a word and starts it again on the same port (eventlet only). */
  restart(): Promise<void>
  stop(): Promise<void>
}

const services = fileURLToPath(new URL('../services/', import.meta.url))
const script = path.join(services, 'run-glance.sh')
/** Two attempts, and the end of the first, are to fit into the 180 s that a test's hook may take. */
const startSeconds = 75

function scriptArguments(options: GlanceOptions): string[] {
  return [
    '-m',
    options.mode ?? 'noauth',
    '-s',
    options.stores ?? 'single',
    '-e',
    options.engine ?? 'eventlet',
    ...(options.barbican === true ? ['-b'] : []),
    ...(options.secureRbac === true ? ['--rbac'] : []),
    ...(options.caching === true ? ['--caching'] : []),
    '--hash',
    options.hash ?? 'sha512',
    '--token-ttl',
    String(options.tokenLifeSeconds ?? 3600),
  ]
}

/**
 * Starts a real Glance, with Keystone and Barbican where asked for, from Debian's packages.
 * It takes 3 s without and 8–17 s with Keystone. Whatever ends this process also ends the services.
 */
export async function startGlance(options: GlanceOptions = {}): Promise<RunningGlance> {
  requireTool('curl')
  requireTool('glance-api')
  if (options.mode === 'keystone') requireTool('keystone-manage')
  if (options.mode === 'keystone' || options.engine === 'uwsgi')
    requireTool('uwsgi', 'uwsgi-core uwsgi-plugin-python3')
  if (options.barbican === true) requireTool('barbican-manage', 'barbican-api python3-barbican')
  let lastError: unknown
  // Ports are chosen, released and then taken: another process may come between.
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-glance-'))
    try {
      const argv = ['start', '-d', directory, '--parent', String(process.pid), ...scriptArguments(options)]
      // It ends the script's children, too: one that hangs would keep the output open, and the wait for it.
      await execa('timeout', ['--kill-after=5', String(startSeconds), script, ...argv], { stdin: 'ignore' })
      return await runningGlance(directory)
    } catch (error) {
      const logs = await lastLinesOfLogs(directory)
      lastError = new Error(`Glance did not start (it may take ${startSeconds} s)\n${logs}`, { cause: error })
      await stopGlance(directory)
    }
  }
  throw lastError
}

/** What the services said last, before their directory goes. */
async function lastLinesOfLogs(directory: string): Promise<string> {
  const folder = path.join(directory, 'log')
  const names = await readdir(folder).catch(() => [])
  const tails = names.map(async (name) => {
    const text = await readFile(path.join(folder, name), 'utf8')
    return `${name}:\n${text.trimEnd().split('\n').slice(-5).join('\n')}`
  })
  return (await Promise.all(tails)).join('\n')
}

async function runningGlance(directory: string): Promise<RunningGlance> {
  const text = await readFile(path.join(directory, 'env.json'), 'utf8')
  const {
    GLANCE_URL: url,
    KEYSTONE_URL: keystoneUrl,
    BARBICAN_URL: barbicanUrl,
    ...rest
  } = JSON.parse(text) as Record<string, string>
  if (url === undefined) throw new Error(`${directory}/env.json has no GLANCE_URL`)
  const environment = Object.fromEntries(Object.entries(rest).filter(([name]) => /^(OS|X)_/.test(name)))
  const stop = (): Promise<void> => stopGlance(directory)
  return {
    url,
    keystoneUrl,
    barbicanUrl,
    directory,
    cloudsFile: environment['OS_CLIENT_CONFIG_FILE'],
    environment,
    restart: async () => {
      await execa(script, ['restart', '-d', directory], { timeout: 60_000, stdin: 'ignore' })
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function stopGlance(directory: string): Promise<void> {
  await execa(script, ['stop', '-d', directory], { timeout: 60_000, stdin: 'ignore', reject: false })
  await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}

/** Key types of a signed image's certificate. */
export type SigningKey =
  | 'rsa'
  | 'dsa'
  | 'secp384r1'
  | 'secp521r1'
  | 'sect409k1'
  | 'sect409r1'
  | 'sect571k1'
  | 'sect571r1'

/**
 * Signs a file with OpenSSL, stores the certificate in Barbican, uploads the image (Glance checks the signature
 * on arrival) and returns its id.
 */
export async function makeSignedImage(
  glance: RunningGlance,
  file: string,
  key: SigningKey = 'rsa',
  hash = 'SHA-256',
): Promise<string> {
  requireTool('openssl')
  const { stdout } = await execa(
    path.join(services, 'make-signed-image.sh'),
    [path.join(glance.directory, 'env.sh'), file, key, hash],
    { timeout: 60_000, stdin: 'ignore' },
  )
  return stdout.trim()
}
