import { copyFile, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import type * as Pool from '../../../src/stream/decode-workers.ts'

const source = path.resolve(import.meta.dirname, '../../../src/stream')

test('inflates in place where the worker is missing, as in a bundled program', async () => {
  // Here, so that the other packages are found; its own manifest knows no worker.
  const directory = await mkdtemp(path.join(import.meta.dirname, 'bundled-'))
  try {
    await writeFile(path.join(directory, 'package.json'), '{ "type": "module" }')
    for (const name of ['decode-workers', 'decode-tasks', 'inflate-cluster', 'inflater', 'zlib-engine']) {
      await copyFile(path.join(source, `${name}.ts`), path.join(directory, `${name}.ts`))
    }
    const url = pathToFileURL(path.join(directory, 'decode-workers.ts')).href
    const { shareWorkers } = (await import(/* @vite-ignore */ url)) as typeof Pool
    const file = path.join(directory, 'content')
    await writeFile(file, 'ab'.repeat(512))
    await using handle = await open(file)
    const share = shareWorkers(2)
    const pieces = Float64Array.from([0, 512, 512, 512, 0, 0, 512, 512])
    const outputs = [1, 2, 3].map(() => new Uint8Array(new SharedArrayBuffer(1024)))
    const jobs = outputs.map((output) =>
      share.run({
        descriptor: handle.fd,
        compression: 'zlib',
        bounds: Float64Array.of(512, 1024),
        pieces,
        output,
      }),
    )
    for (const reply of await Promise.all(jobs)) expect(reply.kind).toBe('read')
    for (const output of outputs) expect(Buffer.from(output).toString()).toBe('ab'.repeat(512))
    await share.close()
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
