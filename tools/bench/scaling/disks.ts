import { execa } from 'execa'
import { randomBytes } from 'node:crypto'
import { open, rename, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'

const MiB = 1024 ** 2
const GiB = 1024 ** 3

/** A disk with data that doesn't compress in a quarter of it, as a raw and as a qcow2 file. */
export interface Disk {
  readonly sizeGiB: number
  readonly virtualBytes: number
  readonly dataBytes: number
  readonly raw: string
  readonly qcow2: string
}

/** Of each so many MiB the first ones hold data: as full as a disk with a system on it, and as scattered. */
const [groupMiB, dataMiB] = [16, 4] as const

/** Makes a disk, with data in each group; the raw file has holes between them. */
export async function makeDisk(folder: string, sizeGiB: number): Promise<Disk> {
  const virtualBytes = Math.round((sizeGiB * GiB) / MiB) * MiB
  const raw = path.join(folder, `disk-${sizeGiB}.raw`)
  const handle = await open(raw, 'w')
  let dataBytes = 0
  try {
    await handle.truncate(virtualBytes)
    const block = randomBytes(dataMiB * MiB)
    for (let offset = 0; offset < virtualBytes; offset += groupMiB * MiB) {
      // No two clusters are alike, so that nothing can be saved by whoever notices.
      for (let at = 0; at < block.length; at += 4096) block.writeDoubleLE(offset + at, at)
      const length = Math.min(block.length, virtualBytes - offset)
      await handle.write(block, 0, length, offset)
      dataBytes += length
    }
  } finally {
    await handle.close()
  }
  const qcow2 = path.join(folder, `disk-${sizeGiB}.qcow2`)
  await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-W', raw, qcow2])
  return { sizeGiB, virtualBytes, dataBytes, raw, qcow2 }
}

/** Makes a compressed qcow2 of a disk like that of {@link makeDisk}, of which half compresses. */
export async function makeCompressedDisk(folder: string, sizeGiB: number): Promise<Disk> {
  const disk = await makeDisk(folder, sizeGiB)
  const raw = path.join(folder, `disk-${sizeGiB}-half.raw`)
  const qcow2 = path.join(folder, `disk-${sizeGiB}-compressed.qcow2`)
  await rename(disk.raw, raw)
  const handle = await open(raw, 'r+')
  try {
    const text = Buffer.alloc(2048, 'half of it ')
    for (let group = 0; group < disk.virtualBytes; group += groupMiB * MiB) {
      const end = Math.min(group + dataMiB * MiB, disk.virtualBytes)
      for (let at = group + 2048; at < end; at += 4096) await handle.write(text, 0, text.length, at)
    }
  } finally {
    await handle.close()
  }
  await rm(disk.qcow2)
  await execa('qemu-img', ['convert', '-c', '-f', 'raw', '-O', 'qcow2', '-W', raw, qcow2])
  return { ...disk, raw, qcow2 }
}

/** A disk of 1 TiB with 256 MiB of data at sixteen places. */
export async function makeSparseDisk(folder: string): Promise<Disk> {
  const virtualBytes = 1024 * GiB
  const dataBytes = 256 * MiB
  const raw = path.join(folder, 'disk-1024.raw')
  const qcow2 = path.join(folder, 'disk-1024.qcow2')
  await writeFile(raw, '')
  await truncate(raw, virtualBytes)
  const handle = await open(raw, 'r+')
  try {
    const block = randomBytes(dataBytes / 16)
    for (let place = 0; place < 16; place += 1) {
      await handle.write(block, 0, block.length, Math.floor((virtualBytes / 16) * place))
    }
  } finally {
    await handle.close()
  }
  await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-W', raw, qcow2])
  return { sizeGiB: 1024, virtualBytes, dataBytes, raw, qcow2 }
}

/** @throws where a volume is not the disk, byte for byte; holes are compared as holes */
export async function compareDisk(disk: Disk, volume: string): Promise<void> {
  await execa('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', disk.raw, volume])
}

/** Removes both files. */
export async function removeDisk({ raw, qcow2 }: Disk): Promise<void> {
  await Promise.all([raw, qcow2].map((file) => rm(file, { force: true })))
}
