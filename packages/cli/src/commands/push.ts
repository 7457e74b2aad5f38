import path from 'node:path'
import { type Command, Option } from 'commander'
import type { OciDiskKind } from '@disk-image/sources'
import { exactBytes, formatSeconds } from '../output/units.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { holdOperand } from './file-source.ts'
import { withArchiveOption } from './judge-upload.ts'
import { readRegistryOptions, type RegistryFlags, withRegistryOptions } from './network.ts'
import type { Perform } from './perform.ts'
import { collectProperty, knownFormat, operand, wholeNumber } from './values.ts'

interface PushFlags extends RegistryFlags {
  readonly as: OciDiskKind
  readonly diskFormat?: string
  readonly fileName?: string
  readonly platform?: string
  readonly compressionLevel?: number
  readonly annotation?: Readonly<Record<string, string>>
}

const notes = `
The file is inspected first: what is not what --disk-format says, or refers to other files, is not pushed. Users and
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
  withRegistryOptions(withArchiveOption(program.command('push')))
    .summary('a disk image into a registry')
    .description(
      'Pushes a disk image to an OCI registry, in one pass, and prints the reference with its digest.',
    )
    .argument('<source>', 'a file or block device')
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
    .option('--platform <os/arch>', "of a containerdisk (default: linux, and this machine's architecture)")
    .option('--compression-level <n>', '1 to 9 (default: 6)', wholeNumber('--compression-level', 1))
    .option('--annotation <key=value>', 'an annotation of the manifest; may be repeated', collectProperty)
    .addHelpText('after', notes)
    .action(perform<PushFlags>(push))
}

async function push(
  session: Session,
  flags: PushFlags & GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  const { as, fileName, platform, compressionLevel, annotation: annotations } = flags
  const { pushImage } = await import('@disk-image/sources')
  const { fileSource } = await import('@disk-image/image-utils')
  await using held = await holdOperand(session, operand(operands, 0))
  const imageUtils = await session.imageUtils()
  const diskFormat = await imageUtils.checkImageFile(held.path, {
    diskFormat: flags.diskFormat,
    imageId: held.name,
  })
  await using handle = await held.open()
  const source = await fileSource(held.name, handle, held.sizeBytes)
  const report = await pushImage(source, operand(operands, 1), {
    ...(await readRegistryOptions(session, flags)),
    ...session.call,
    as,
    diskFormat,
    fileName: fileName ?? usableName(held.name),
    platform,
    compressionLevel,
    annotations,
  })
  const { reference, digest, blob, resumes, durationSeconds } = report
  const bytesRead = report.source.bytes
  session.progress.finish()
  session.remark(
    `Pushed ${held.name} as ${as}: ${diskFormat}, ${exactBytes(bytesRead)}, stored as ${exactBytes(blob.size)}, in ${formatSeconds(durationSeconds)}.`,
  )
  session.answer(
    { reference, digest, blob, source: held.name, diskFormat, as, bytesRead, resumes, durationSeconds },
    [reference],
    'all',
  )
}

/** The file's own name, where a layer can have it. */
function usableName(file: string): string | undefined {
  const name = path.basename(file)
  return /^\w[\w.+-]{0,89}$/.test(name) ? name : undefined
}
