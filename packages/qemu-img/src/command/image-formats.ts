import { InvalidError } from '@disk-image/core'

/** Image formats of `qemu-img`, by its own names. Its protocol and filter drivers are not among them. */
export const imageFormats = [
  'bochs',
  'cloop',
  'dmg',
  'luks',
  'parallels',
  'qcow',
  'qcow2',
  'qed',
  'raw',
  'vdi',
  'vhdx',
  'vmdk',
  'vpc',
] as const

/** One of {@link imageFormats}. */
export type ImageFormat = (typeof imageFormats)[number]

/** @throws {InvalidError} where it isn't a format: `qemu-img` must never be left to guess one */
export function checkFormat(format: unknown, role: string): asserts format is ImageFormat {
  if (imageFormats.some((known) => known === format)) return
  const given =
    typeof format === 'string' && format !== ''
      ? `'${format}' is no format of qemu-img`
      : 'no format is given'
  throw new InvalidError({ reason: `The format of the ${role} must be named: ${given}` })
}
