import { allocateBuffer } from '@disk-image/io'
import type { ClaimHost, TableReader } from './check-tables.ts'
import { waitForBytes, type Qcow2Frontier } from './frontier.ts'
import { refuse } from './qcow2-decode-error.ts'
import type { SpoolFile } from '../stream/spool-file.ts'

/** Reads tables from a file as soon as they have arrived. */
export function createTableReader(
  file: SpoolFile,
  frontier: Qcow2Frontier,
  signal: AbortSignal,
): TableReader {
  const requireInside = async (offset: number, length: number, table: string): Promise<void> => {
    const available = await waitForBytes(frontier, offset + length, signal)
    if (available < offset + length) {
      refuse('qcow2-table-outside-file', `${table} lies outside the file`, offset)
    }
  }
  const read = async (
    offset: number,
    length: number,
    table: string,
    claim: ClaimHost,
  ): Promise<Uint8Array> => {
    await requireInside(offset, length, table)
    claim(offset, length)
    const bytes = allocateBuffer(length)
    await file.readFully(bytes, offset)
    return bytes
  }
  return { read, requireInside }
}
