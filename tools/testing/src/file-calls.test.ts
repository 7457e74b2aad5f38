import { execFile } from 'node:child_process'
import fs, { constants, openSync, readSync } from 'node:fs'
import { type FileHandle, link, mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Fate, type FileCall, unwatched, watchFileCalls } from './file-calls.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'file-calls-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** What is seen of something: the names, or what else is asked of each call. */
async function seenOf(
  act: () => Promise<unknown>,
  look: (call: FileCall) => unknown = ({ name }) => name,
  decide: (call: FileCall) => Fate = () => undefined,
): Promise<unknown[]> {
  const seen: unknown[] = []
  const watch = await watchFileCalls({
    within: [folder],
    before: (call) => {
      seen.push(look(call))
      return decide(call)
    },
  })
  try {
    await act()
  } finally {
    watch.stop()
  }
  return seen
}

test('names, places and bytes of what promises and handles do', async () => {
  const file = path.join(folder, 'a')
  const calls = await seenOf(
    async () => {
      const handle = await open(file, 'w+')
      await handle.write(Buffer.from('0123456789'), 2, 3, 4096)
      await handle.writev([Buffer.from('ab'), Buffer.from('c')], 8192)
      await handle.read({ buffer: Buffer.alloc(7), position: 4096 })
      await handle.truncate(5000)
      await handle.datasync()
      await handle.close()
      await rename(file, path.join(folder, 'b'))
      await link(path.join(folder, 'b'), path.join(folder, 'c'))
      // Nothing of another folder.
      await readFile('/proc/self/status')
    },
    (call) =>
      [
        call.number,
        call.name,
        call.via,
        path.basename(call.path),
        call.to && path.basename(call.to),
        call.position,
        call.bytes,
        String(call.data()),
      ].join(),
  )
  expect(calls).toEqual([
    '1,open,promise,a,,,,',
    '2,write,handle,a,,4096,3,234',
    '3,writev,handle,a,,8192,3,abc',
    '4,read,handle,a,,4096,7,',
    '5,truncate,handle,a,,,5000,',
    '6,datasync,handle,a,,,,',
    '7,close,handle,a,,,,',
    '8,rename,promise,a,b,,,',
    '9,link,promise,b,c,,,',
  ])
  expect((await readFile(path.join(folder, 'b'))).length).toBe(5000)
})

test('the callback and sync forms, processes, and names that lead through an open folder', async () => {
  const held = openSync(folder, 'r')
  const file = path.join(folder, 'a')
  const calls = await seenOf(
    async () => {
      const fd = openSync(`/proc/self/fd/${held}/a`, 'w+')
      fs.writeSync(fd, 'text', 0)
      await promisify(fs.fsync)(fd)
      readSync(fd, Buffer.alloc(4), 0, 4, 0)
      fs.closeSync(fd)
      await promisify(execFile)('cat', [file])
    },
    ({ name, via, path: at, bytes }) => [name, via, at === file, bytes].join(),
  )
  fs.closeSync(held)
  expect(calls).toEqual([
    'open,sync,true,',
    'write,sync,true,4',
    'sync,callback,true,',
    'read,sync,true,4',
    'close,sync,true,',
    'spawn,process,true,',
  ])
})

test('a call fails, or is cut short; its own calls are not seen; afterwards all is as before', async () => {
  const before = [fs.promises.open, fs.openSync, open]
  const file = path.join(folder, 'a')
  let handle: FileHandle | undefined
  const broken = Object.assign(new Error('EIO'), { code: 'EIO' })
  await seenOf(
    async () => {
      handle = await open(file, constants.O_RDWR | constants.O_CREAT)
      await expect(handle.write(Buffer.alloc(10), 0, 10, 0)).resolves.toMatchObject({ bytesWritten: 4 })
      await expect(handle.sync()).rejects.toBe(broken)
      await expect(promisify(fs.stat)(file)).rejects.toBe(broken)
      expect(() => fs.statSync(file)).toThrow(broken)
      await unwatched(() => writeFile(file, 'unseen'))
    },
    () => unwatched(() => fs.existsSync(file)),
    ({ name }) => {
      if (name === 'write') return { limitBytes: 4 }
      return name === 'sync' || name === 'stat' ? broken : undefined
    },
  )
  expect([fs.promises.open, fs.openSync, open]).toEqual(before)
  await handle?.sync()
  await handle?.close()
})
