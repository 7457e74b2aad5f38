import path from 'node:path'
import { type Command, Option } from 'commander'
import {
  type DiskFormat,
  type ImageService,
  type Source,
  toQemuFormat,
  type UploadSource,
} from '@disk-image/core'
import { transferVerified } from '@disk-image/io'
import type { OciDiskKind, PushReport } from '@disk-image/sources'
import { exactBytes, formatSeconds } from '../output/units.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { withArchiveOption } from './judge-upload.ts'
import { type NetworkFlags, readRegistryOptions } from './network.ts'
import {
  lookUpChecksums,
  openWord,
  readManner,
  type SourceFlags,
  withDiskOption,
  withSourceOptions,
} from './open-word.ts'
import type { Perform } from './perform.ts'
import { collectProperty, knownFormat, operand, wholeNumber } from './values.ts'

interface PushFlags extends NetworkFlags, SourceFlags {
  readonly as: OciDiskKind
  readonly disk?: string
  readonly diskFormat?: DiskFormat
  readonly fileName?: string
  readonly compressionLevel?: number
  readonly annotation?: Readonly<Record<string, string>>
}

const notes = `
What is pushed is judged on its way: what is not what --disk-format says, or refers to other files, gets no tag. Users and
passwords come from where podman and docker keep them (podman login, docker login).

  containerdisk   a layer with the file below disk/, for KubeVirt's containerDisks (raw or qcow2)
  artifact        the file as it is, as ORAS pushes it
  kubevirt        the file with KubeVirt's media types; a raw disk compressed by gzip

The reference with its digest is what is printed: it stays the same whatever becomes of the tag.

Examples:
  $ disk-image push debian.qcow2 oci://registry.example.org/disks/debian:12
  $ disk-image push disk.vmdk oci://localhost:5000/disks/old:1 --as artifact --plain-http localhost:5000`

/** `disk-image push`: a disk image into a registry. */
export function addPushCommand(program: Command, perform: Perform): void {
  withDiskOption(withSourceOptions(withArchiveOption(program.command('push'))))
    .summary('a disk image into a registry')
    .description(
      'Pushes a disk image to an OCI registry, in one pass, and prints the reference with its digest.',
    )
    .argument('<source>', 'a file or block device, -, a URL, or any other source that fetch takes')
    .argument('<reference>', 'oci://HOST/REPOSITORY:TAG')
    .addOption(
      new Option('--as <kind>', 'how it is kept there')
        .choices(['containerdisk', 'artifact', 'kubevirt'])
        .default('containerdisk'),
    )
    .option(
      '--disk-format <format>',
      "the image's format (default: what it is)",
      knownFormat('--disk-format', 'read'),
    )
    .option('--file-name <name>', "the file's name there (default: its own)")
    .option('--compression-level <n>', '1 to 9 (default: 6)', wholeNumber('--compression-level', 1))
    .option('--annotation <key=value>', 'an annotation of the manifest; may be repeated', collectProperty)
    .addHelpText('after', notes)
    .action(perform<PushFlags>(push))
}

async function push(
  session: Session,
  given: PushFlags & GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  const word = operand(operands, 0)
  const flags = await lookUpChecksums(session, given, word)
  const { as, platform, compressionLevel, annotation: annotations } = flags
  const { pushImage } = await import('@disk-image/sources')
  const imageUtils = await session.imageUtils()
  const target = operand(operands, 1)
  const options = await readRegistryOptions(session, flags)
  await using source = await openWord(session, imageUtils, word, {
    bare: 'file',
    diskFormat: flags.diskFormat,
  })
  let pushed: PushReport | undefined
  let diskFormat = ''
  // The registry in the place of an image service, of which only this is asked: so what is pushed is judged on its way.
  const registry: Pick<ImageService, 'upload'> = {
    upload: async (_context, id, data, { signal, onProgress } = {}) => {
      const isWrapped = (source.containerFormat ?? 'bare') !== 'bare'
      const fileName = flags.fileName ?? usableName(isWrapped ? path.parse(source.name).name : source.name)
      pushed = await pushImage(sourceOf(data), target, {
        ...options,
        signal,
        onProgress,
        as,
        diskFormat: toQemuFormat(diskFormat),
        fileName,
        platform,
        compressionLevel,
        annotations,
      })
      return { id, properties: {} }
    },
  }
  const sent = await imageUtils.sourceToImage({
    ...session.call,
    ...readManner(flags),
    source,
    diskFormat: flags.diskFormat,
    disk: flags.disk,
    imageService: registry as ImageService,
    image: (found) => {
      diskFormat = found.diskFormat
      return Promise.resolve({ id: target })
    },
  })
  if (pushed === undefined) throw new Error('nothing was pushed')
  const { reference, digest, blob, resumes, durationSeconds } = pushed
  const { bytesUploaded: bytesRead, verified, warnings } = sent
  session.progress.finish()
  session.remark(
    `Pushed ${source.name} as ${as}: ${diskFormat}, ${exactBytes(bytesRead)}, stored as ${exactBytes(blob.size)}, in ${formatSeconds(durationSeconds)}.`,
  )
  const answer = {
    reference,
    digest,
    blob,
    source: source.name,
    diskFormat,
    as,
    bytesRead,
    verified,
    warnings,
  }
  session.answer({ ...answer, resumes, durationSeconds }, [reference], 'all')
}

/** The judged bytes. */
function sourceOf(data: UploadSource): Source {
  return {
    name: 'the source',
    sizeBytes: data.size,
    download: (sink, options) =>
      transferVerified(data.open(), sink, {
        ...options,
        image: { id: 'the source', size: data.size ?? null },
      }),
  }
}

/** The file's own name, where a layer can have it. */
function usableName(file: string): string | undefined {
  const name = path.basename(file)
  return /^\w[\w.+-]{0,89}$/.test(name) ? name : undefined
}
