import { constants, copyFile, open, rm, stat } from 'node:fs/promises'
import type { Command } from 'commander'
import { formatBytes, GiB, ImageError, MiB, ProcessExecutionError } from '@disk-image/core'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { readManifest } from '../manifest.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { chooseStore } from '../store.ts'
import { alignFields, alignRows } from '../output/table.ts'
import type { Perform } from './perform.ts'

const notes = `
Exits with 1 where something fails that every transfer needs. A cloud is asked where one is given (--cloud, --glance,
or the OS_* variables), for at most 15 seconds.

Examples:
  $ disk-image doctor
  $ disk-image doctor --cloud production
  $ disk-image doctor --json | jq '.checks[] | select(.status != "ok")'`

/** What a look at one thing finds. */
interface Finding {
  readonly status: 'ok' | 'warn' | 'fail'
  readonly found: string
  /** What to do; absent where all is well. */
  readonly advice?: string
}

interface Check extends Finding {
  readonly name: string
}

/** `disk-image doctor`: what here helps and hinders. */
export function addDoctorCommand(program: Command, perform: Perform): void {
  program
    .command('doctor')
    .summary('what is missing here, and what to do about it')
    .description('Looks at what transfers need here: tools, sandbox, disk, proxies, cloud; says what to do.')
    .addHelpText('after', notes)
    .action(perform<object>(doctor))
}

async function doctor(session: Session, flags: GlobalFlags): Promise<ExitCode> {
  const imageUtils = await session.imageUtils()
  const directory = imageUtils.options.imageConversionDir
  const looks: readonly (readonly [
    name: string,
    look: () => Promise<readonly Check[] | Finding | undefined>,
  ])[] = [
    ['Node.js', lookAtNode],
    ['qemu-img', () => lookAtQemuImg(session)],
    ['sandbox', () => lookAtSandbox(session, flags)],
    ['temporary files', () => lookAtFolder(session, directory)],
    ['space', () => lookAtSpace(directory)],
    ['left behind', () => lookAtLeftovers(directory)],
    ['proxies', () => lookAtProxies(session)],
    ['authorities', () => lookAtAuthorities(session)],
    ['cloud', () => lookAtCloud(session, flags)],
  ]
  const checks: Check[] = []
  for (const [name, look] of looks) {
    session.io.signal.throwIfAborted()
    const found = await look().catch((error: unknown): Finding => {
      session.io.signal.throwIfAborted()
      return { status: 'fail', found: reasonOf(error), advice: 'See above: it could not be looked at.' }
    })
    if (Array.isArray(found)) checks.push(...(found as readonly Check[]))
    else if (found !== undefined) checks.push({ name, ...(found as Finding) })
  }
  const ok = checks.every(({ status }) => status !== 'fail')
  const paints = { ok: session.style.good, warn: session.style.note, fail: session.style.bad }
  const rows = alignRows(
    checks.map(({ status, name, found }) => [{ text: status, paint: paints[status] }, name, found]),
  )
  const lines = checks.flatMap(({ advice }, index) => [
    rows[index] ?? '',
    ...alignFields([['What to do:', advice]], '      '),
  ])
  const count = checks.filter(({ status }) => status !== 'ok').length
  session.answer({ ok, checks }, [
    ...lines,
    count === 0 ? 'No problems found.' : `${count === 1 ? 'One thing' : `${count} things`} to look at.`,
  ])
  return ok ? exitCodes.done : exitCodes.failed
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function lookAtNode(): Promise<Finding> {
  const wanted = readManifest().engines.node
  const has = process.versions.node.split('.').map(Number)
  const reaches = wanted.split('||').some((range) => {
    const [, sign, text = ''] = /^(\^|>=)([\d.]+)$/.exec(range.trim()) ?? []
    const least = text.split('.').map(Number)
    const differs = least.findIndex((part, index) => part !== has[index])
    const isEnough = differs === -1 || (has[differs] ?? 0) > (least[differs] ?? 0)
    return isEnough && (sign === '>=' || has[0] === least[0])
  })
  const found = process.versions.node
  return reaches ? { status: 'ok', found } : { status: 'fail', found, advice: `Install Node.js ${wanted}.` }
}

async function lookAtQemuImg(session: Session): Promise<Finding> {
  const { createProcessRunner } = await import('@disk-image/host')
  const runner = createProcessRunner()
  const needed =
    'Needed for qcow, qed, bochs, cloop and dmg, for ciphers other than AES, and through a root helper; every other format is read and written without it.'
  try {
    const { stdout } = await runner.run(
      { file: 'qemu-img', args: ['--version'] },
      { signal: session.io.signal, timeoutMs: 10_000 },
    )
    const [, version] = /qemu-img version ([\w.]+)/.exec(stdout) ?? []
    if (version !== undefined) return { status: 'ok', found: version }
    return { status: 'warn', found: 'it does not say its version', advice: needed }
  } catch (error) {
    session.io.signal.throwIfAborted()
    const isMissing = error instanceof ProcessExecutionError && error.endReason === 'not-installed'
    return {
      status: 'warn',
      found: isMissing ? 'not installed' : reasonOf(error),
      advice: isMissing ? `${needed} Install it with: apt-get install qemu-utils` : needed,
    }
  }
}

async function lookAtSandbox(session: Session, flags: GlobalFlags): Promise<Finding> {
  const { sandbox = 'auto' } = flags
  if (sandbox === false || sandbox === 'off') {
    return { status: 'warn', found: 'off, by --sandbox', advice: 'Leave it on: tools see all files without.' }
  }
  const { createProcessRunner } = await import('@disk-image/host')
  try {
    await createProcessRunner({ sandbox: 'require' }).run(
      { file: 'true', args: [] },
      { signal: session.io.signal, files: {}, timeoutMs: 10_000 },
    )
    return { status: 'ok', found: 'bubblewrap' }
  } catch (error) {
    session.io.signal.throwIfAborted()
    return {
      status: sandbox === 'require' ? 'fail' : 'warn',
      found: sandbox === 'require' ? 'not usable, and required' : 'not usable: tools see all files',
      advice: reasonOf(error),
    }
  }
}

async function lookAtFolder(session: Session, directory: string): Promise<readonly Check[]> {
  const { preparePrivateFolder, supportsDirectIo } = await import('@disk-image/host')
  const name = 'temporary files'
  try {
    await preparePrivateFolder(directory, 'folder for temporary files')
    const imageUtils = await session.imageUtils()
    await using probe = await imageUtils.temporaryFile({ prefix: 'doctor_' })
    const found: Check[] = [{ name, status: 'ok', found: directory }]
    const isDirect = await supportsDirectIo(probe.path)
    found.push(
      isDirect
        ? { name: 'O_DIRECT', status: 'ok', found: 'there' }
        : {
            name: 'O_DIRECT',
            status: 'warn',
            found: `not there in ${directory}`,
            advice: 'It only makes large writes easier for the memory; ext4 and xfs have it.',
          },
      await lookAtHoles(probe.path, directory),
      await lookAtReflink(probe.path),
    )
    return found
  } catch (error) {
    session.io.signal.throwIfAborted()
    const advice = 'Name a folder of your own with --conversion-dir DIR.'
    return [{ name, status: 'fail', found: reasonOf(error), advice }]
  }
}

async function lookAtHoles(file: string, directory: string): Promise<Check> {
  await using handle = await open(file, 'r+')
  await handle.truncate(MiB)
  const { blocks } = await handle.stat()
  if (blocks * 512 < MiB) return { name: 'holes', status: 'ok', found: 'zeros take no space' }
  const advice = 'Name a folder on ext4, xfs or btrfs with --conversion-dir DIR.'
  return { name: 'holes', status: 'warn', found: `${directory} stores every zero`, advice }
}

async function lookAtReflink(file: string): Promise<Check> {
  const copy = `${file}_copy`
  try {
    await copyFile(file, copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE)
    return { name: 'reflink', status: 'ok', found: 'copies share their blocks' }
  } catch {
    return { name: 'reflink', status: 'ok', found: 'not there: copies are written in full' }
  } finally {
    await rm(copy, { force: true })
  }
}

async function lookAtSpace(directory: string): Promise<Finding> {
  const { freeSpace } = await import('@disk-image/host')
  const free = await freeSpace(directory)
  const found = `${formatBytes(free)} free in ${directory}`
  if (free >= 10 * GiB) return { status: 'ok', found }
  const advice = 'An image that waits needs its whole size: name another folder with --conversion-dir DIR.'
  return { status: free < 64 * MiB ? 'fail' : 'warn', found, advice }
}

async function lookAtLeftovers(directory: string): Promise<Finding> {
  const { findLeftovers } = await import('@disk-image/host')
  const isThere = await stat(directory).catch(() => undefined)
  const left = isThere === undefined ? [] : await findLeftovers({ directory })
  if (left.length === 0) return { status: 'ok', found: 'nothing' }
  const bytes = left.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const found = `${left.length} of runs that were killed, ${formatBytes(bytes)}`
  return { status: 'warn', found, advice: 'Remove them with: disk-image clean' }
}

async function lookAtProxies(session: Session): Promise<Finding> {
  const { proxyFromEnvironment } = await import('@disk-image/image-utils/glance')
  const proxies = proxyFromEnvironment(session.io.environment)
  if (proxies === undefined) return { status: 'ok', found: 'none' }
  const texts: string[] = []
  for (const scheme of ['http', 'https'] as const) {
    const given = proxies[scheme]
    if (given === undefined) continue
    const url = URL.parse(given.includes('://') ? given : `http://${given}`)
    if (url === null || !['http:', 'https:'].includes(url.protocol)) {
      const advice = `Set ${scheme}_proxy to an URL such as http://proxy.example:3128.`
      return { status: 'fail', found: `that for ${scheme} is no proxy on http or https`, advice }
    }
    // Without user name and password.
    texts.push(`${scheme} through ${url.protocol}//${url.host}`)
  }
  const { noProxy } = proxies
  return {
    status: 'ok',
    found: [...texts, ...(noProxy === undefined ? [] : [`not for ${noProxy}`])].join(', '),
  }
}

const bundles = ['OS_CACERT', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS']

async function lookAtAuthorities(session: Session): Promise<Finding> {
  const { environment, workingDirectory } = session.io
  const set = bundles.filter((name) => (environment[name] ?? '') !== '')
  const found = set.length === 0 ? "Node's own" : set.map((name) => `${name}=${environment[name]}`).join(', ')
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    const advice = 'Unset it, and name the authority with OS_CACERT or SSL_CERT_FILE.'
    return { status: 'warn', found: 'NODE_TLS_REJECT_UNAUTHORIZED=0 turns verification off', advice }
  }
  const { loadTls } = await import('@disk-image/image-utils/glance')
  try {
    await loadTls({ environment, workingDirectory })
    return { status: 'ok', found }
  } catch (error) {
    if (!ImageError.is(error)) throw error
    return { status: 'fail', found: error.message, advice: 'Correct the variable, or unset it.' }
  }
}

const cloudMs = 15_000

async function lookAtCloud(session: Session, flags: GlobalFlags): Promise<Finding | undefined> {
  if (chooseStore(flags, session.io).kind === 'folder') return undefined
  const limit = AbortSignal.timeout(cloudMs)
  try {
    const store = await session.store(flags)
    const { imageService, context, description, account } = store
    await imageService.detail(context, { limit: 1, signal: AbortSignal.any([session.io.signal, limit]) })
    return { status: 'ok', found: `${description}${account === undefined ? '' : `, as ${account}`}` }
  } catch (error) {
    session.io.signal.throwIfAborted()
    const found = limit.aborted ? `no answer within ${cloudMs / 1000} s` : reasonOf(error)
    const isDenied = ImageError.is(error) && error.kind === 'not-authorized'
    const advice = isDenied
      ? 'Check the account and its password in clouds.yaml or the OS_* variables.'
      : 'Check the address and the proxies above; --verbose shows each try.'
    return { status: 'fail', found, advice }
  }
}
