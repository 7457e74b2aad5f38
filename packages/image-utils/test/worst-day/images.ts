import { readFileSync } from 'node:fs'
import { copyFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { execFile } from 'node:child_process'
import { gzip } from 'node:zlib'
import { requireTool, seededRandom } from '@disk-image/testing'
import { createImageUtils, machineOfProperties } from '../../src/index.ts'

const run = promisify(execFile)

/** A file with the disk, and what its record says of it. */
export interface MadeImage {
  readonly file: string
  readonly disk_format: string
  readonly container_format: string
}

/** A disk with a boot sector, data that no compression makes smaller, text, and holes. */
export function diskBytes(sizeBytes: number, seed: number): Buffer {
  const next = seededRandom(seed)
  const bytes = Buffer.alloc(sizeBytes)
  for (let at = 65_536; at < sizeBytes; at += 65_536) {
    const kind = next()
    if (kind < 0.5) continue
    for (let byte = at; byte < at + 50_000; byte += 1) bytes[byte] = kind < 0.8 ? next() * 256 : byte % 97
  }
  bytes.writeUInt16LE(0xaa55, 510)
  return bytes
}

const ways: readonly (readonly [name: string, disk: string, format: string, ...options: string[]])[] = [
  ['qcow2', 'qcow2', 'qcow2'],
  ['qcow2-zlib', 'qcow2', 'qcow2', '-c'],
  ['qcow2-zstd', 'qcow2', 'qcow2', '-c', '-o', 'compression_type=zstd'],
  ['vmdk', 'vmdk', 'vmdk'],
  ['stream-optimized', 'vmdk', 'vmdk', '-o', 'subformat=streamOptimized'],
  ['vhd', 'vhd', 'vpc', '-o', 'force_size=on'],
  ['vhd-fixed', 'vhd', 'vpc', '-o', 'subformat=fixed,force_size=on'],
  ['vhdx', 'vhdx', 'vhdx'],
  ['vdi', 'vdi', 'vdi'],
]

/** The same disk in every format and envelope, made by qemu-img, gzip and our own OVA. */
export async function makeImages(folder: string, raw: string): Promise<Readonly<Record<string, MadeImage>>> {
  const images: Record<string, MadeImage> = {}
  const named = (name: string): string => path.join(folder, `image.${name}`)
  await copyFile(raw, named('raw'))
  images['raw'] = { file: named('raw'), disk_format: 'raw', container_format: 'bare' }
  for (const [name, disk_format, format, ...options] of ways) {
    const words = ['convert', '-f', 'raw', '-O', format, ...options, raw, named(name)]
    await run(requireTool('qemu-img', 'qemu-utils'), words)
    images[name] = { file: named(name), disk_format, container_format: 'bare' }
  }
  for (const name of ['raw', 'qcow2']) {
    await writeFile(named(`${name}.gz`), await promisify(gzip)(readFileSync(named(name))))
    images[`${name}.gz`] = {
      file: named(`${name}.gz`),
      disk_format: name,
      container_format: 'compressed',
    }
  }
  await createImageUtils({}, { imageConversionDir: path.join(folder, 'ova') }).volumesToArchive({
    disks: [{ volume: raw, volumeFormat: 'raw' }],
    machine: machineOfProperties('machine', {}),
    destination: named('ova'),
  })
  images['ova'] = { file: named('ova'), disk_format: 'vmdk', container_format: 'ova' }
  return images
}
