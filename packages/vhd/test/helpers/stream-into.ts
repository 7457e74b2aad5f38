import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { openStreamDecoder, planStream } from '@disk-image/disk'

/** How an image is fed to its decoder. */
export interface Feeding {
  /** Bytes of the chunks, in turn. */
  readonly chunks: readonly number[]
  readonly writeZeros: boolean
}

const mostBytes = 2 ** 24

/** Nothing decodes it while it comes. */
export class NotStreamed extends Error {}

/** Decodes a VHD as a stream, in memory but for its spool. Chunks are overwritten as soon as they are given back. */
export async function streamInto(image: Uint8Array, { chunks, writeZeros }: Feeding): Promise<Buffer> {
  const plan = planStream('vpc', image.subarray(0, 1024 ** 2))
  if (!plan.supported) throw new NotStreamed(plan.reason)
  const { sizeBytes = image.length } = plan
  if (sizeBytes > mostBytes) throw new NotStreamed('It is too large for a test.')
  const directory = mkdtempSync(path.join(tmpdir(), 'vhd-stream-'))
  const spool = await open(path.join(directory, 'spool'), 'w+')
  const disk = Buffer.alloc(sizeBytes, writeZeros ? 0x55 : 0)
  const taken = new Uint8Array(disk.length)
  const take = (offset: number, length: number): void => {
    if (length < 1 || offset + length > disk.length) throw new Error('it is not on the disk')
    if (taken.subarray(offset, offset + length).includes(1)) throw new Error('it is written twice')
    taken.fill(1, offset, offset + length)
  }
  const decoder = await openStreamDecoder(plan.layout, {
    writeZeros,
    spool: {
      file: spool,
      write: async (chunk, offset) => {
        if (plan.spools === false) throw new Error('nothing has to wait')
        if (offset + chunk.length > image.length) throw new Error('more is spooled than has come')
        await spool.write(chunk, 0, chunk.length, offset)
      },
    },
    target: {
      write: async (bytes, offset) => {
        take(offset, bytes.length)
        await Promise.resolve()
        disk.set(bytes, offset)
      },
      zero: (offset, length) => {
        take(offset, length)
        disk.fill(0, offset, offset + length)
        return Promise.resolve()
      },
    },
  })
  try {
    const underWay = new Set<Promise<void>>()
    for (let at = 0, next = 0; at < image.length; next += 1) {
      const chunk = new Uint8Array(image.subarray(at, at + (chunks[next % chunks.length] ?? 1)))
      const lent = decoder.write(chunk, at).finally(() => {
        chunk.fill(0xaa)
        underWay.delete(lent)
      })
      lent.catch(() => undefined)
      underWay.add(lent)
      at += chunk.length
      if (underWay.size >= 3) await Promise.race(underWay)
    }
    await Promise.all(underWay)
    const { virtualSizeBytes } = await decoder.end()
    if (writeZeros && taken.subarray(0, virtualSizeBytes).includes(0)) throw new Error('something is missing')
    return disk.subarray(0, virtualSizeBytes)
  } finally {
    await decoder.close()
    await spool.close()
    rmSync(directory, { recursive: true })
  }
}
