import { type Fields, startsAsLuks, startsAsParallels } from '@disk-image/disk/layouts'
import { type Examiner, headBytes } from '../engine/steps.ts'
import { examineOptical, startsAsOptical } from '../contents.ts'
import {
  examineBochs,
  examineCloop,
  examineQcow,
  examineQed,
  examineNotADisk,
  notDisks,
} from './not-a-disk.ts'
import { examineLuks } from './luks.ts'
import { examineParallels } from './parallels.ts'
import { examineQcow2, qcow2Head, startsAsQcow } from './qcow2.ts'
import { examineVdi } from './vdi.ts'
import { examineVhd } from './vhd.ts'
import { examineVhdx, vhdxHead } from './vhdx.ts'
import { examineCowd, examineVmdk, vmdkHead, examineDescriptor, startsAsDescriptor } from './vmdk.ts'

/** A format that shows at the start of an image. */
export interface Signature {
  readonly name: string
  readonly matches: (head: Fields) => boolean
  readonly examine: Examiner
  /** Bytes from the start that it may look at without asking; where absent, a few hundred. */
  readonly head?: (head: Fields) => number
}

const wholeHead = (): number => headBytes

/** Every format that shows at the start. Where several match, the first gives the image its name. */
export const signatures: readonly Signature[] = [
  {
    name: 'qcow',
    matches: (head) => startsAsQcow(head) && head.u32be(4) === 1,
    examine: examineQcow,
    head: wholeHead,
  },
  {
    name: 'qcow2',
    matches: (head) => startsAsQcow(head) && head.u32be(4) !== 1,
    examine: examineQcow2,
    head: qcow2Head,
  },
  { name: 'qed', matches: (head) => head.has(0, 'QED\0'), examine: examineQed, head: wholeHead },
  { name: 'vmdk', matches: (head) => head.has(0, 'KDMV'), examine: examineVmdk, head: vmdkHead },
  { name: 'vmdk', matches: (head) => head.has(0, 'COWD'), examine: examineCowd },
  { name: 'vmdk', matches: startsAsDescriptor, examine: examineDescriptor, head: wholeHead },
  { name: 'vhdx', matches: (head) => head.has(0, 'vhdxfile'), examine: examineVhdx, head: vhdxHead },
  { name: 'vhd', matches: (head) => head.has(0, 'conectix'), examine: examineVhd },
  { name: 'vdi', matches: (head) => head.has(0x40, [0x7f, 0x10, 0xda, 0xbe]), examine: examineVdi },
  { name: 'parallels', matches: (head) => startsAsParallels(head.bytes), examine: examineParallels },
  { name: 'luks', matches: startsAsLuks, examine: examineLuks },
  { name: 'bochs', matches: (head) => head.has(0, 'Bochs Virtual HD Image'), examine: examineBochs },
  { name: 'cloop', matches: (head) => head.has(0, '#!/bin/sh\n#V2.0 Format\n'), examine: examineCloop },
  ...notDisks.map((kind) => ({ name: kind.name, matches: kind.matches, examine: examineNotADisk(kind) })),
  { name: 'iso', matches: startsAsOptical, examine: examineOptical },
]

/** Bytes of the head without which no verdict on an image that begins so can be given. */
export function neededHead(first: Fields): number {
  const needs = signatures
    .filter((signature) => signature.matches(first))
    .map(({ head }) => head?.(first) ?? 0)
  return Math.max(0, ...needs)
}
