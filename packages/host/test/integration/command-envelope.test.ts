import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProcessExecutionError } from '@disk-image/core'
import { createProcessRunner, openCommandEnvelope } from '@disk-image/host'
import { requireTool } from '@disk-image/testing'
import { describe, expect, test } from 'vitest'

requireTool('xz', 'xz-utils')
requireTool('bzip2')

const plain = Buffer.concat([randomBytes(3_000_000), Buffer.alloc(9_000_000, 'disk '), Buffer.alloc(1)])
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const runner = createProcessRunner({ sandbox: 'auto' })

function unpacker(file: string, write: (bytes: Uint8Array) => Promise<void> | void, signal?: AbortSignal) {
  return openCommandEnvelope({ write }, { runner, command: { file, args: ['-dc'] }, signal })
}

describe.each(['xz', 'bzip2'])('%s', (tool) => {
  const packed = execFileSync(tool, ['-1c'], { input: plain, maxBuffer: 2 ** 30 })

  test('gives the bytes inside, however the outer ones are cut, to a sink that takes its time', async () => {
    const hash = createHash('sha256')
    let writes = 0
    const envelope = unpacker(tool, async (bytes) => {
      hash.update(bytes)
      writes += 1
      if (writes % 20 === 0) await sleep(1)
    })
    const lent = new Uint8Array(70_001)
    for (let at = 0; at < packed.length; at += lent.length) {
      const part = packed.subarray(at, at + lent.length)
      lent.set(part)
      await envelope.write(lent.subarray(0, part.length))
      lent.fill(0)
    }
    await envelope.end()
    await envelope.close()
    expect(hash.digest('hex')).toBe(digest(plain))
  })

  test.each([
    ['cut off', () => packed.subarray(0, -20)],
    [
      'damaged',
      () => Buffer.concat([packed.subarray(0, 2_000_000), randomBytes(100), packed.subarray(2_000_100)]),
    ],
    ['other', () => randomBytes(1_000_000)],
    ['empty', () => Buffer.alloc(0)],
  ])("%s data end in the tool's own words", async (_what, make) => {
    const envelope = unpacker(tool, () => undefined)
    const run = async (): Promise<void> => {
      const bytes = make()
      for (let at = 0; at < bytes.length; at += 65_536) await envelope.write(bytes.subarray(at, at + 65_536))
      await envelope.end()
    }
    await expect(run()).rejects.toBeInstanceOf(ProcessExecutionError)
    await envelope.close()
  })

  test('what the sink throws is passed on, and an abort ends it', async () => {
    const full = new Error('the disk is full')
    const envelope = unpacker(tool, () => {
      throw full
    })
    const feed = async (): Promise<void> => {
      for (let at = 0; at < packed.length; at += 65_536)
        await envelope.write(packed.subarray(at, at + 65_536))
      await envelope.end()
    }
    await expect(feed()).rejects.toBe(full)
    await envelope.close()
    const abort = new AbortController()
    const stopped = unpacker(tool, () => abort.abort(new Error('stopped')), abort.signal)
    const run = async (): Promise<void> => {
      for (let at = 0; at < packed.length; at += 65_536) await stopped.write(packed.subarray(at, at + 65_536))
      await stopped.end()
    }
    await expect(run()).rejects.toThrow('stopped')
    await stopped.close()
  })
})

test('closing one that was begun leaves no process', async () => {
  const envelope = unpacker('xz', () => undefined)
  await envelope.write(Buffer.alloc(0))
  await envelope.close()
  await envelope.close()
})
