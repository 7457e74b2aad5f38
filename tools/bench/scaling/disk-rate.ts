import { randomFillSync } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import path from 'node:path'
import { MiB } from '@disk-image/core'
import { allocatePagePieces } from '@disk-image/io'

const pieceBytes = 8 * MiB
/** How many pieces are on their way at once where nothing lies between them and the disk. */
const mostAtOnce = 4
/** After so many bytes the disk is asked to write, while more is coming. */
const syncStepBytes = 32 * MiB

/**
 * Bytes per second that the disk takes, synced: the most of several ways to write, since no transfer may be said to
 * be bounded by a rate that another way of writing exceeds. Each is tried twice.
 *
 * @param folder on the disk that is meant
 * @param bytes of each try: some multiple of 8 MiB
 */
export async function measureDisk(folder: string, bytes: number = 512 * MiB): Promise<number> {
  const file = path.join(folder, 'disk-rate')
  const [piece] = allocatePagePieces(1, pieceBytes)
  if (piece === undefined) throw new Error('there is no memory to write from')
  randomFillSync(piece)
  let most = 0
  try {
    for (let round = 0; round < 2; round += 1) {
      for (const write of [writeThroughCache, writeDirectly]) {
        const started = performance.now()
        if (!(await write(file, bytes, piece))) continue
        most = Math.max(most, bytes / ((performance.now() - started) / 1000))
      }
    }
    return most
  } finally {
    await rm(file, { force: true })
  }
}

/** Through the page cache, which is written out meanwhile. */
async function writeThroughCache(file: string, bytes: number, piece: Uint8Array): Promise<true> {
  await using handle = await open(file, 'w')
  let syncing: Promise<void> | undefined
  let pending = 0
  for (let offset = 0; offset < bytes; offset += pieceBytes) {
    await handle.write(piece, 0, pieceBytes, offset)
    pending += pieceBytes
    if (pending < syncStepBytes || syncing !== undefined) continue
    pending = 0
    syncing = handle.datasync().finally(() => {
      syncing = undefined
    })
  }
  await syncing
  await handle.sync()
  return true
}

/** Past the page cache. @returns whether the file system takes that */
async function writeDirectly(file: string, bytes: number, piece: Uint8Array): Promise<boolean> {
  let handle: FileHandle
  try {
    handle = await open(file, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_DIRECT)
  } catch {
    return false
  }
  await using direct = handle
  let next = 0
  const takeTurns = async (): Promise<void> => {
    while (next < bytes) {
      const offset = next
      next += pieceBytes
      await direct.write(piece, 0, pieceBytes, offset)
    }
  }
  await Promise.all(Array.from({ length: mostAtOnce }, takeTurns))
  await direct.sync()
  return true
}
