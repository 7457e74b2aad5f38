import { InvalidError, type Layout, toQemuFormat } from '@disk-image/core'
import { parallelsStream } from './parallels/open-parallels.ts'
import { luksStream } from './luks/luks-stream.ts'
import { qcow2Stream } from './qcow2/stream-decoder.ts'
import { vdiStream } from './vdi/open-vdi.ts'
import { vhdStream } from './vhd/vhd-stream.ts'
import { vhdxStream } from './vhdx/open-vhdx.ts'
import { vmdkStream } from './vmdk/open-vmdk.ts'
import type {
  StreamDecoder,
  StreamDecoderOptions,
  StreamFormat,
  StreamPlan,
  StreamPlanOptions,
} from './stream/stream-decoder.ts'

/** Formats by qemu-img's names. A format is added by a line here. */
const formats: Readonly<Record<string, StreamFormat<Layout>>> = {
  luks: luksStream,
  parallels: parallelsStream,
  qcow2: qcow2Stream,
  vdi: vdiStream,
  vhdx: vhdxStream,
  vmdk: vmdkStream,
  vpc: vhdStream,
}

/** Formats that can be decoded while they come, in qemu-img's terms. */
export const streamFormats: readonly string[] = Object.keys(formats)

/**
 * Says from an image's head whether {@link openStreamDecoder} takes it. The format is never guessed. Tables behind the
 * head are not read: the decoder may still refuse what this supports.
 *
 * @param format in qemu-img's terms
 * @param head the image's first MiB, or all of a shorter one
 */
export function planStream(format: string, head: Uint8Array, options: StreamPlanOptions = {}): StreamPlan {
  return (
    formatOf(format)?.plan(head, options) ?? {
      supported: false,
      reason: `The format ${format} is not decoded while it comes.`,
    }
  )
}

/**
 * Opens a decoder for an image that {@link planStream} supports.
 *
 * @param layout of the plan
 * @throws {InvalidError} for a format that is not decoded here
 * @throws the error of an image that is not supported
 */
export async function openStreamDecoder(
  layout: Layout,
  options: StreamDecoderOptions,
): Promise<StreamDecoder> {
  options.signal?.throwIfAborted()
  const format = formatOf(layout.format)
  if (format === undefined) {
    throw new InvalidError({
      reason: `${layout.format} is not decoded while it comes; ${streamFormats.join(', ')} are`,
    })
  }
  return format.open(layout, options)
}

function formatOf(name: string): StreamFormat<Layout> | undefined {
  const driver = toQemuFormat(name)
  return Object.hasOwn(formats, driver) ? formats[driver] : undefined
}
