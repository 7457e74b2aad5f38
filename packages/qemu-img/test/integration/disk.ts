import { createHash } from 'node:crypto'
import { execFileSync, spawnSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { open, truncate, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '@disk-image/core'
import { requireTool } from '@disk-image/testing'

/** A sparse raw disk: random bytes at both ends and in the middle, text, and mostly holes. */
export async function makeDisk(file: string, sizeBytes = 32 * MiB): Promise<void> {
  const random = execFileSync('head', ['-c', String(MiB), '/dev/urandom'])
  const handle = await open(file, 'w')
  await handle.truncate(sizeBytes)
  await handle.write(random, 0, MiB, 0)
  await handle.write(Buffer.alloc(MiB, 'the same again and again '), 0, MiB, sizeBytes / 4)
  await handle.write(random, 0, MiB, sizeBytes / 2 + 512)
  await handle.write(random, 0, 512, sizeBytes - 512)
  await handle.close()
}

/** SHA-256 of the first bytes of a file or device. */
export async function hashOf(file: string, lengthBytes: number): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file, { end: lengthBytes - 1 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** A block device over a file, given back at the end of its scope. Needs root. */
export async function attachLoopDevice(
  backing: string,
  sizeBytes: number,
  content = 0,
): Promise<AsyncDisposable & { readonly path: string }> {
  if (process.getuid?.() !== 0) throw new Error('Loop devices need root: run this test as root')
  const losetup = requireTool('losetup')
  await writeFile(backing, content === 0 ? '' : Buffer.alloc(sizeBytes, content))
  await truncate(backing, sizeBytes)
  for (let tries = 0; tries < 100; tries += 1) {
    const { status, stdout } = spawnSync(losetup, ['-f', '--show', backing], { encoding: 'utf8' })
    const path = stdout.trim()
    if (status === 0)
      return { path, [Symbol.asyncDispose]: async () => void execFileSync(losetup, ['-d', path]) }
    await sleep(200)
  }
  throw new Error('No loop device is free')
}
