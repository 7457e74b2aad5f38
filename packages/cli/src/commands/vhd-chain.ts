import { stat } from 'node:fs/promises'
import { exactBytes } from '../output/units.ts'
import type { Session } from '../session.ts'
import { resolveOperand } from './file-source.ts'
import { operand } from './values.ts'

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
  await flattenChain(chain, destination, {
    ...session.call,
    format: flags.to,
    checkParentIds: flags.ignoreIds !== true,
  })
  const { size } = await stat(destination)
  session.answer({ destination, format: flags.to, chain, fileSizeBytes: size }, [
    `${destination} is written: ${flags.to}, ${exactBytes(size)}.`,
  ])
}
