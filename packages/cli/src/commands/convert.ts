import { type Command, Option } from 'commander'
import { stat } from 'node:fs/promises'
import { formatSeconds, exactBytes } from '../output/units.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { type EncryptionFlags, readEncryption } from './encryption.ts'
import { holdOperand, resolveDestination } from './file-source.ts'
import { withArchiveOption } from './judge-upload.ts'
import type { Perform } from './perform.ts'
import { knownFormat, operand, wholeNumber } from './values.ts'

interface ConvertFlags extends EncryptionFlags {
  readonly from?: string
  readonly to?: string
  readonly subformat?: string
  readonly compress?: 'none' | 'zlib' | 'zstd'
  readonly disableSparse?: boolean
}

const notes = `
The source is inspected first: what is not what --from says, or refers to other files, is refused.

Examples:
  $ disk-image convert disk.qcow2 disk.raw --from qcow2 --to raw
  $ disk-image convert disk.raw disk.vhd --from raw --to vhd --subformat fixed
  $ disk-image convert disk.raw volume.luks --from raw --to luks --passphrase-file secret`

/** `disk-image convert`: one disk file into another. */
export function addConvertCommand(program: Command, perform: Perform): void {
  withArchiveOption(program.command('convert'))
    .summary('a disk into another format')
    .description('Converts a disk into another format. No format is ever guessed.')
    .argument('<source>', 'a file or block device')
    .argument('<dest>', 'a file, made when missing, or a block device, never made')
    .option(
      '--from <format>',
      "the source's format; disk-image inspect tells it",
      knownFormat('--from', 'read'),
    )
    .option(
      '--to <format>',
      "the destination's format: raw, qcow2, vhd, vhdx, vmdk, vdi, luks …",
      knownFormat('--to', 'write'),
    )
    .option('--subformat <name>', 'a variant of the format, for example fixed or streamOptimized')
    .addOption(
      new Option('--compress <how>', "compression of a qcow2 (default: 'none')").choices([
        'none',
        'zlib',
        'zstd',
      ]),
    )
    .option('--disable-sparse', 'write zeroes too')
    .option('--passphrase-file <file>', "for --to luks: a file with the volume's passphrase")
    .option('--cipher <spec>', 'for --to luks, for example aes-xts-plain64')
    .option('--key-size <bits>', 'bits of the key', wholeNumber('--key-size', 1))
    .option('--source-passphrase-file <file>', "a file with an encrypted source's passphrase")
    .option('--decrypt', 'write what is inside an encrypted source as a raw disk, which is not encrypted')
    .addHelpText('after', notes)
    .action(perform<ConvertFlags>(convert))
}

async function convert(
  session: Session,
  flags: ConvertFlags & GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  const { from, to, compress = 'none' } = flags
  const destination = resolveDestination(session, operand(operands, 1))
  if (to === undefined) throw new UsageError('Say with --to FORMAT what the destination shall be.')
  if (from === undefined) {
    throw new UsageError('Say with --from FORMAT what the source is: disk-image inspect FILE tells it.')
  }
  if (compress !== 'none' && to !== 'qcow2') throw new UsageError('--compress is for --to qcow2.')
  const imageUtils = await session.imageUtils()
  const encryption = readEncryption(session, imageUtils, flags, to)
  await using held = await holdOperand(session, operand(operands, 0))
  const source = held.name
  const found = await stat(held.path)
  const target = await stat(destination).catch(() => undefined)
  if (target !== undefined && target.ino === found.ino && target.dev === found.dev) {
    throw new UsageError('SOURCE and DEST are the same file.')
  }
  const startedMs = performance.now()
  await imageUtils.convertImage(source, destination, to, {
    ...session.call,
    outSubformat: flags.subformat,
    srcFormat: from,
    runAsRoot: session.runAsRoot,
    cipherSpec: encryption.cipherSpec,
    passphraseFile: encryption.passphraseFile,
    srcPassphraseFile: encryption.sourcePassphraseFile,
    decrypt: encryption.decrypt,
    compress: compress !== 'none',
    compression: compress === 'none' ? undefined : compress,
    imageId: source,
    disableSparse: flags.disableSparse,
  })
  const seconds = (performance.now() - startedMs) / 1000
  const result = await stat(destination)
  const sizeBytes = result.isFile() ? result.size : undefined
  const size = sizeBytes === undefined ? '' : `, ${exactBytes(sizeBytes)}`
  session.answer(
    { source, destination, from, to, ...(sizeBytes === undefined ? {} : { sizeBytes }), seconds },
    [`${destination}: ${from} → ${to}${size}, in ${formatSeconds(seconds)}`],
  )
}
