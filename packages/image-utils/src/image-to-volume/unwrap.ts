import {
  type Envelope,
  ImageUnacceptableError,
  printableAscii,
  ProcessExecutionError,
  type ProcessRunner,
} from '@disk-image/core'
import type { MemberSink, UnwrappedImage } from '@disk-image/disk'
import { openCommandEnvelope } from '@disk-image/host'

/** Takes the one image that is inside, and refuses a second one. */
export function oneImage(imageId: string, sink: MemberSink): (image: UnwrappedImage) => MemberSink {
  let first: string | undefined
  return ({ name }) => {
    if (first !== undefined) {
      throw new ImageUnacceptableError({
        imageId,
        rule: 'archive-several-disks',
        reason: 'The archive holds more than one file that may be the disk',
        found: `${printableAscii(first, 60)} and ${printableAscii(name ?? '', 60)}`,
        accepted: 'an archive of one disk; or that file itself (tar -xf unpacks it)',
      })
    }
    first = name ?? ''
    return sink
  }
}

const megabyte = 1024 ** 2

/** A decompressor for what Node.js does not unpack itself: the tool of the same name, in the sandbox. */
export function openToolEnvelope(
  runner: ProcessRunner,
  name: 'xz' | 'bzip2',
  sink: MemberSink,
  { imageId, signal }: { readonly imageId: string; readonly signal?: AbortSignal | undefined },
): Envelope {
  // The window is bounded: xz -9 needs 65 MiB.
  const args =
    name === 'xz' ? ['--decompress', '--stdout', '--format=xz', '--memlimit-decompress=128MiB'] : ['-dc']
  const envelope = openCommandEnvelope(sink, {
    runner,
    command: { file: name, args },
    limits: { addressSpaceBytes: 1024 * megabyte },
    signal,
  })
  const explained = async (act: Promise<void> | void): Promise<void> => {
    try {
      await act
    } catch (error) {
      if (!(error instanceof ProcessExecutionError) || error.endReason !== 'exit') throw error
      throw new ImageUnacceptableError({
        imageId,
        rule: 'compressed-container',
        reason: `The compressed data is broken: ${name} can't unpack it`,
        found: printableAscii(error.stderr.trim().split('\n')[0] ?? '', 120),
        accepted: `whole data of ${name}, with a window of at most 64 MiB`,
        cause: error,
      })
    }
  }
  return {
    write: (chunk) => explained(envelope.write(chunk)),
    end: () => explained(envelope.end()),
    close: () => envelope.close(),
  }
}
