import { createHash, randomBytes } from 'node:crypto'
import type { ByteSink, UploadSource } from '@disk-image/core'
import type { GlanceClient, GlanceClientOptions } from '@disk-image/glance-client'

/** Limits that make faults quick to notice on loopback. */
export const quick: Partial<GlanceClientOptions> = {
  retryDelayMs: 5,
  maximumRetryDelayMs: 50,
  connectTimeoutMs: 2000,
  headersTimeoutMs: 4000,
  idleTimeoutMs: 1000,
  stallTimeoutMs: 8000,
  storeTimeoutMs: 1500,
}

/** Random bytes, so that no wrong order goes unnoticed. */
export function randomData(bytes: number): Buffer {
  return randomBytes(bytes)
}

/** A sink that keeps everything. */
export function keeper(): ByteSink & { bytes(): Buffer } {
  const parts: Buffer[] = []
  return { write: (bytes) => void parts.push(Buffer.from(bytes)), bytes: () => Buffer.concat(parts) }
}

/** Data that can be read again from the start. */
export function sourceOf(data: Buffer, size: number | undefined = data.length): UploadSource {
  return {
    size,
    async *open() {
      for (let at = 0; at < data.length; at += 65_536) yield data.subarray(at, at + 65_536)
    },
  }
}

/** Data that can be read once only, as a pipe. */
export function onceOf(data: Buffer): UploadSource {
  let opened = false
  return {
    size: data.length,
    open() {
      if (opened) throw new Error('The pipe was read already')
      opened = true
      return sourceOf(data).open()
    },
  }
}

/** Makes an image with data. */
export async function makeImage(
  client: GlanceClient,
  data: Buffer | undefined,
  fields: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const { id } = await client.create({
    name: 'test',
    disk_format: 'raw',
    container_format: 'bare',
    ...fields,
  })
  if (data !== undefined) await client.upload(id, sourceOf(data))
  return id
}

/** Hex. */
export function sha512(data: Buffer): string {
  return createHash('sha512').update(data).digest('hex')
}

/** Counts what became of injected faults. */
export class FaultTable {
  readonly #rows = new Map<string, { injected: number; survived: number; refused: number; wrong: number }>()

  /**
   * @param outcome `survived`: every byte arrived; `refused`: a typed error, nothing that looks whole
   */
  add(fault: string, outcome: 'survived' | 'refused' | 'wrong'): void {
    const row = this.#rows.get(fault) ?? { injected: 0, survived: 0, refused: 0, wrong: 0 }
    row.injected += 1
    row[outcome] += 1
    this.#rows.set(fault, row)
  }

  get wrong(): number {
    return [...this.#rows.values()].reduce((sum, row) => sum + row.wrong, 0)
  }

  print(): void {
    console.table(Object.fromEntries(this.#rows))
  }
}
