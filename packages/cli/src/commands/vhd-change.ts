import { stat } from 'node:fs/promises'
import { MiB } from '@disk-image/core'
import { exactBytes } from '../output/units.ts'
import type { Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { resolveOperand } from './file-source.ts'
import { checkDifferent, confirmOverwrite } from './overwrite.ts'
import { operand, size } from './values.ts'

/** Flags of `vhd reparent`. */
export interface ReparentFlags {
  readonly parentFormat: 'vhd' | 'raw'
}

/** Flags of `vhd create`. */
export interface CreateVhdFlags extends ReparentFlags {
  readonly type: 'dynamic' | 'fixed'
  readonly parent?: string
}

/** Largest size that a VHD can have, in MiB. */
const largestMiB = 2040 * 1024

/** In MiB. */
function readSize(text: string): number {
  const mib = size('The size', { plain: 'M', whole: true })(text)
  if (mib > largestMiB) throw new UsageError(`A VHD has at most ${largestMiB} MiB; ${mib} were asked for.`)
  return mib
}

/** `disk-image vhd resize FILE SIZE` */
export async function resizeVhdFile(
  session: Session,
  _flags: object,
  operands: readonly string[],
): Promise<void> {
  const mib = readSize(operand(operands, 1))
  const file = resolveOperand(session, operand(operands, 0))
  const { getVhdInfo, resizeVhd } = await import('@disk-image/vhd')
  await resizeVhd(file, mib, session.call)
  const { currentSizeBytes } = await getVhdInfo(file)
  session.answer({ file, currentSizeBytes }, [`${file} has ${exactBytes(currentSizeBytes)} now.`])
}

/** `disk-image vhd reparent CHILD PARENT` */
export async function reparentVhd(
  session: Session,
  flags: ReparentFlags,
  operands: readonly string[],
): Promise<void> {
  const child = resolveOperand(session, operand(operands, 0))
  const parent = resolveOperand(session, operand(operands, 1))
  const { setVhdParent } = await import('@disk-image/vhd')
  await setVhdParent(child, parent, { parentFormat: flags.parentFormat, signal: session.io.signal })
  session.answer({ child, parent }, [`The parent of ${child} is ${parent} now.`])
}

/** `disk-image vhd create FILE [SIZE]` */
export async function createVhdFile(
  session: Session,
  flags: CreateVhdFlags,
  operands: readonly string[],
): Promise<void> {
  const [, text] = operands
  const mib = text === undefined ? undefined : readSize(text)
  const file = resolveOperand(session, operand(operands, 0))
  if (flags.parent !== undefined && flags.type === 'fixed') throw new UsageError('A child is never fixed.')
  const parent = flags.parent === undefined ? undefined : resolveOperand(session, flags.parent)
  if (parent !== undefined) await checkDifferent(file, parent)
  await confirmOverwrite(session, [file])
  const { createSnapshot, createVhd, getVhdInfo } = await import('@disk-image/vhd')
  if (parent !== undefined) {
    const sizeBytes = mib === undefined ? undefined : mib * MiB
    await createSnapshot(file, parent, {
      sizeBytes,
      parentFormat: flags.parentFormat,
      replace: true,
    })
  } else {
    if (mib === undefined) throw new UsageError('Give the size, for example 10G, or --parent FILE.')
    await createVhd(file, { sizeBytes: mib * MiB, type: flags.type, replace: true })
  }
  const { type, currentSizeBytes, uniqueId } = await getVhdInfo(file)
  session.answer({ file, type, currentSizeBytes, uniqueId }, [
    `${file} is made: ${type}, ${exactBytes(currentSizeBytes)}.`,
  ])
}

/** Flags of `vhd coalesce`. */
export interface CoalesceFlags {
  readonly copy?: boolean
  readonly ignoreIds?: boolean
}

/** Flags of `vhd flatten`. */
export interface FlattenFlags {
  readonly to: 'raw' | 'fixed' | 'dynamic'
  readonly ignoreIds?: boolean
}

/** `disk-image vhd coalesce LEAF … BASE` */
export async function coalesceVhds(
  session: Session,
  flags: CoalesceFlags,
  operands: readonly string[],
): Promise<void> {
  const { coalesceChain } = await import('@disk-image/vhd')
  const chain = operands.map((file) => resolveOperand(session, file))
  const base = await coalesceChain(chain, {
    ...session.call,
    mode: flags.copy === true ? 'copy' : 'in-place',
    checkParentIds: flags.ignoreIds !== true,
  })
  const merged = chain.slice(0, -1)
  const { size } = await stat(base)
  session.answer({ base, merged, fileSizeBytes: size }, [
    `${merged.length === 1 ? 'One disk is' : `${merged.length} disks are`} merged into ${base}, which has ${exactBytes(size)}.`,
  ])
}

/** `disk-image vhd flatten OUT LEAF … BASE` */
export async function flattenVhds(
  session: Session,
  flags: FlattenFlags,
  operands: readonly string[],
): Promise<void> {
  const { flattenChain } = await import('@disk-image/vhd')
  const destination = resolveOperand(session, operand(operands, 0))
  const chain = operands.slice(1).map((file) => resolveOperand(session, file))
  for (const file of chain) await checkDifferent(destination, file)
  await confirmOverwrite(session, [destination])
  await flattenChain(chain, destination, {
    ...session.call,
    replace: true,
    format: flags.to,
    checkParentIds: flags.ignoreIds !== true,
  })
  const { size } = await stat(destination)
  session.answer({ destination, format: flags.to, chain, fileSizeBytes: size }, [
    `${destination} is written: ${flags.to}, ${exactBytes(size)}.`,
  ])
}
