import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'

/** A qcow2 with a disk of 4 MiB, made by qemu-img. */
export async function qcow2(directory: string): Promise<Buffer> {
  const file = path.join(directory, 'made-by-qemu-img.qcow2')
  await promisify(execFile)(requireTool('qemu-img'), ['create', '-q', '-f', 'qcow2', file, '4M'])
  const bytes = await readFile(file)
  await rm(file)
  return bytes
}

/** The first bytes of a qcow2 that asks for another file of the host. */
export function backingFile(name: string): Uint8Array {
  const bytes = new Uint8Array(4096)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x514649fb)
  view.setUint32(4, 2)
  view.setBigUint64(8, 512n)
  view.setUint32(16, name.length)
  view.setUint32(20, 16)
  view.setBigUint64(24, 4n * 1024n ** 2n)
  bytes.set(new TextEncoder().encode(name), 512)
  return bytes
}
