import type { DiskFormat } from '@disk-image/core'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import type { ImageUtils, OvaMachine } from '@disk-image/image-utils'
import { exactBytes } from '../output/units.ts'
import type { Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { openDestination, resolveOperand } from './file-source.ts'
import { findFileFormat } from './found-format.ts'
import { confirmOverwrite } from './overwrite.ts'
import { readManner, readSourceWord, type SourceFlags } from './open-word.ts'

/** Flags of the machine that an OVA describes. */
export interface MachineFlags {
  readonly name?: string
  readonly controller?: NonNullable<OvaMachine['controller']>
  readonly firmware?: NonNullable<OvaMachine['firmware']>
  readonly property?: Readonly<Record<string, string>>
}

/** `disk-image convert DISK… MACHINE.ova --to ova`: the last operand is what is made. */
export async function convertToOva(
  session: Session,
  imageUtils: ImageUtils,
  flags: MachineFlags & SourceFlags & { readonly from?: readonly DiskFormat[] },
  operands: readonly string[],
): Promise<void> {
  const { from = [], controller, firmware, property = {} } = flags
  const { throttle, checksums } = readManner(flags)
  if (checksums !== undefined) throw new UsageError('--checksum is not for --to ova.')
  const destinationName = operands.at(-1) ?? ''
  const count = operands.length - 1
  if (from.length > 1 && from.length !== count) {
    throw new UsageError(`Give one --from for all ${count} sources, or one for each, in the same order.`)
  }
  const disks = await Promise.all(
    operands.slice(0, -1).map(async (operand, index) => {
      const word = await readSourceWord(operand, 'file')
      if (word.kind !== 'file') throw new UsageError(`${operand} is no file: fetch it first.`)
      const volume = resolveOperand(session, word.path)
      const volumeFormat = from[index] ?? from[0] ?? (await findFileFormat(session, { name: word.path }))
      // What is no disk is refused as one.
      return { volume, volumeFormat: volumeFormat ?? 'raw' }
    }),
  )
  const { volume: destination, target } = openDestination(session, destinationName)
  if (target === undefined) await confirmOverwrite(session, [destination])
  const { machineOfProperties } = await import('@disk-image/image-utils')
  const { name = target === undefined ? path.parse(destination).name : 'machine' } = flags
  const said = machineOfProperties(name, property)
  const machine = {
    ...said,
    controller: controller ?? said.controller,
    firmware: firmware ?? said.firmware,
  }
  const report = await imageUtils.volumesToArchive({
    ...session.call,
    disks,
    machine,
    destination,
    target,
    throttle,
  })
  const sizeBytes = target === undefined ? (await stat(destination)).size : report.bytesWritten
  session.answer({ ...report, to: 'ova', sizeBytes }, [
    ...report.disks.map(
      (disk) => `${disk.name}: ${disk.volume}, ${disk.format} → vmdk, ${exactBytes(disk.virtualSizeBytes)}`,
    ),
    `${destination}: ova, ${exactBytes(sizeBytes)}`,
  ])
}
