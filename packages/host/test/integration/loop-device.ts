import { truncate, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { requireTool } from '@disk-image/testing'
import { execa } from 'execa'

/** A block device over a file, given back at the end of its scope. Needs root. */
export interface LoopDevice extends AsyncDisposable {
  readonly path: string
}

/** Attaches a loop device. Where all are taken for the moment, it waits for one. */
export async function attachLoopDevice(backing: string, sizeBytes: number): Promise<LoopDevice> {
  if (process.getuid?.() !== 0) throw new Error('Loop devices need root: run this test as root')
  const losetup = requireTool('losetup')
  await writeFile(backing, '', { flag: 'a' })
  await truncate(backing, sizeBytes)
  let problem: unknown
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      const { stdout: path } = await execa(losetup, ['-f', '--show', backing])
      return { path, [Symbol.asyncDispose]: async () => void (await execa(losetup, ['-d', path])) }
    } catch (error) {
      problem = error
      await sleep(200)
    }
  }
  throw new Error('No loop device is free', { cause: problem })
}
