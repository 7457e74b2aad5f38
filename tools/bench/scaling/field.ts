import { startNginx, type RunningNginx } from '@disk-image/testing'
import { execa } from 'execa'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { commandFile } from '../arena.ts'
import { imageSchema } from '../image-schema.ts'
import type { LinkOptions } from './slow-link.ts'

/** The words before a command line of ours. */
export const command: readonly string[] = [process.execPath, commandFile]

/** An image that is served. */
export interface Served {
  readonly id: string
  readonly size: number
  readonly sha512: string
}

/** A file that is to be served, and its hash where that is known. */
export interface Offer {
  readonly file: string
  readonly diskFormat: string
  readonly sha512?: string | undefined
}

/** Serves files as images. */
export async function serve(
  folder: string,
  offers: readonly Offer[],
  bytesPerSecond?: number,
): Promise<RunningNginx> {
  return startNginx({
    images: offers.map(({ sha512, ...rest }) => (sha512 === undefined ? rest : { ...rest, sha512 })),
    imageSchema,
    parentDirectory: folder,
    ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
  })
}

/** A link in a process of its own. */
export interface RunningLink extends AsyncDisposable {
  readonly url: string
}

const program = path.join(import.meta.dirname, 'slow-link-program.ts')

/** Puts a link in front of a server. */
export async function startLink(url: string, options: Omit<LinkOptions, 'port'>): Promise<RunningLink> {
  const words = JSON.stringify({ ...options, port: Number(new URL(url).port) })
  const child = execa(process.execPath, [program, words], { stdin: 'pipe', stderr: 'inherit', buffer: false })
  for await (const line of createInterface({ input: child.stdout })) {
    return {
      url: line,
      [Symbol.asyncDispose]: async () => {
        child.stdin.end()
        await child
      },
    }
  }
  throw new Error('the link did not come up')
}

/** Removes what a run left, and waits until the disk has nothing more to write. */
export async function tidy(files: readonly string[]): Promise<void> {
  await Promise.all(files.map((file) => rm(file, { recursive: true, force: true })))
  await execa('sync')
}
