import type { Command } from '@disk-image/core'
import { locate, type QemuImgCallOptions, type QemuImgContext, runQemuImg } from './context.ts'
import { creationOptions, type CreationOptions } from './creation-options.ts'
import {
  checkFormat,
  checkSize,
  filesOf,
  imageArguments,
  type ImageReference,
  type LocatedImage,
} from './image-reference.ts'
import { FieldReader } from './json-fields.ts'

/** What shall be measured: an image that would be converted, or an empty disk of a size. */
export type MeasureSource = ImageReference | { readonly sizeBytes: number }

/** Options of {@link QemuImg.measure}. */
export interface MeasureOptions extends QemuImgCallOptions {
  /** What it would become: `raw` and `qcow2` can be measured. */
  readonly destination: Omit<CreationOptions, 'compression' | 'passphraseFile' | 'path'>
}

/** Bytes that a conversion would take. */
export interface Measurement {
  readonly requiredBytes: number
  /** When every byte of the disk is written. */
  readonly fullyAllocatedBytes: number
}

/** The command line of `qemu-img measure`. */
export function measureCommand(
  source: LocatedImage | { readonly sizeBytes: number },
  destination: MeasureOptions['destination'],
): Command {
  checkFormat(destination.format, 'destination')
  const options = creationOptions({ ...destination, path: '/' })
  const target = ['-O', destination.format, ...(options === '' ? [] : ['-o', options])]
  if ('sizeBytes' in source) {
    checkSize(source.sizeBytes, 'sizeBytes')
    return {
      file: 'qemu-img',
      args: ['measure', '--output=json', ...target, '--size', String(source.sizeBytes)],
    }
  }
  const { objects, asOptions, names } = imageArguments([source])
  const format = asOptions ? ['--image-opts'] : ['-f', source.format]
  return { file: 'qemu-img', args: ['measure', '--output=json', ...objects, ...target, ...format, ...names] }
}

export async function measure(
  context: QemuImgContext,
  given: MeasureSource,
  options: MeasureOptions,
): Promise<Measurement> {
  const source = 'path' in given ? await locate(given) : given
  const command = measureCommand(source, options.destination)
  const files = 'path' in source ? { read: filesOf([source]) } : {}
  const { stdout } = await runQemuImg(context, command, options, { files })
  return parseMeasurement(stdout)
}

/** @throws {QemuImgOutputError} where it isn't what `qemu-img measure --output=json` prints */
export function parseMeasurement(text: string): Measurement {
  const read = new FieldReader('measure')
  const found = read.object(read.parse(text), 'it')
  return {
    requiredBytes: read.size(found, 'required'),
    fullyAllocatedBytes: read.size(found, 'fully-allocated'),
  }
}
