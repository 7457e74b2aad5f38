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

/** An option list: `name=value,name=value`. Commas in values are doubled, which is how `qemu-img` reads them. */
export function optionList(options: Readonly<Record<string, string | number | undefined>>): string {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${String(value).replaceAll(',', ',,')}`)
    .join(',')
}

/** The id of the secret that a new image is encrypted with. */
export const destinationSecret = 'destination'

/** `--object`: a passphrase that `qemu-img` reads from a file, so that it never stands on a command line. */
export function secretObject(id: string, file: string): string[] {
  checkPath(file, 'passphrase file')
  return ['--object', `secret,${optionList({ id, format: 'raw', file })}`]
}

/**
 * Only an absolute path can't be taken for an option, for a protocol (`nbd:…`), or for `json:`.
 *
 * @throws {InvalidError} where it isn't one
 */
export function checkPath(path: unknown, role: string): asserts path is string {
  if (typeof path === 'string' && path.startsWith('/') && !path.includes('\0')) return
  throw new InvalidError({ reason: `The ${role} must be an absolute path, not '${String(path)}'` })
}

/** @throws {InvalidError} where it isn't a whole, exact number of bytes */
export function checkSize(sizeBytes: unknown, name: string): asserts sizeBytes is number {
  if (typeof sizeBytes === 'number' && Number.isSafeInteger(sizeBytes) && sizeBytes >= 0) return
  throw new InvalidError({ reason: `${name} must be a whole number of bytes, not ${String(sizeBytes)}` })
}

/** An image that is read or changed, and what it is. */
export interface ImageReference {
  readonly path: string
  /** `qemu-img`'s name: `raw`, `qcow2`, `vpc` … */
  readonly format: string
  /** File that holds the passphrase of a `luks` image, or of an encrypted `qcow2`. */
  readonly passphraseFile?: string | undefined
  /** Absolute paths of what else belongs to it and a sandbox must show: backing files, extents. @default none */
  readonly furtherFiles?: readonly string[] | undefined
  /** Only these bytes of the disk, as if they were a raw disk: multiples of 512. @default all of it */
  readonly range?: ByteRange | undefined
}

/** A part of a disk. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** An image, with what its path is on this machine. */
export interface LocatedImage extends ImageReference {
  readonly blockDevice: boolean
}

/** Which image an argument list is about, in the two ways that `qemu-img` takes it. */
export interface ImageArguments {
  /** `--object …`, or nothing. */
  readonly objects: readonly string[]
  /** Whether the names are option lists, `--image-opts`. */
  readonly asOptions: boolean
  /** One for each image: the path, or the option list. */
  readonly names: readonly string[]
}

/**
 * Plain names (with `-f` elsewhere) where no passphrase is needed; option lists for all of them where one is,
 * because `--image-opts` counts for every name.
 *
 * @throws {InvalidError} where a path isn't absolute, or a format isn't named or has no passphrase
 */
export function imageArguments(images: readonly LocatedImage[], forceOptions = false): ImageArguments {
  for (const image of images) {
    checkPath(image.path, 'image')
    checkFormat(image.format, 'image')
  }
  const asOptions =
    forceOptions ||
    images.some(({ passphraseFile, range }) => passphraseFile !== undefined || range !== undefined)
  if (!asOptions) return { objects: [], asOptions, names: images.map(({ path }) => path) }
  return {
    objects: images.flatMap(({ passphraseFile }, index) =>
      passphraseFile === undefined ? [] : secretObject(`source${index}`, passphraseFile),
    ),
    asOptions,
    names: images.map((image, index) => imageOptions(image, `source${index}`)),
  }
}

/** One image as an option list: its driver, its key, its file. */
export function imageOptions(image: LocatedImage, secretId: string): string {
  const whole = {
    driver: image.format,
    ...(image.passphraseFile === undefined ? {} : keyOptions(image.format, secretId)),
    'file.driver': image.blockDevice ? 'host_device' : 'file',
    'file.filename': image.path,
  }
  return optionList(image.range === undefined ? whole : rangeOptions(whole, image.range))
}

/** The raw driver over whatever the disk is shows a part of it. */
function rangeOptions(
  whole: Readonly<Record<string, string>>,
  { offset, length }: ByteRange,
): Readonly<Record<string, string | number>> {
  for (const bytes of [offset, length]) {
    checkSize(bytes, 'range')
    if (bytes % 512 !== 0) throw new InvalidError({ reason: `A range has whole sectors, not ${bytes} bytes` })
  }
  const below = Object.entries(whole).map(([name, value]) => [`file.${name}`, value])
  return { driver: 'raw', offset, size: length, ...Object.fromEntries(below) }
}

/** Where a format wants the key that opens it. */
export function keyOptions(format: string, secretId: string): Readonly<Record<string, string>> {
  if (format === 'luks') return { 'key-secret': secretId }
  if (format === 'qcow2') return { 'encrypt.format': 'luks', 'encrypt.key-secret': secretId }
  throw new InvalidError({ reason: `A ${format} image can't have a passphrase; luks and qcow2 can` })
}

/** Every file that reading these images touches, each image's own first. */
export function filesOf(images: readonly ImageReference[]): string[] {
  return images.flatMap(({ path, passphraseFile, furtherFiles = [] }) => [
    path,
    ...(passphraseFile === undefined ? [] : [passphraseFile]),
    ...furtherFiles,
  ])
}
