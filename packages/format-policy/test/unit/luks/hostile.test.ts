import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { RandomAccessReader } from '@disk-image/core'
import { inspectLuksPayload } from '@disk-image/format-policy/inspector'
import { Random } from '../../build/random.ts'

function readerOf(bytes: Uint8Array): RandomAccessReader {
  return { size: bytes.length, read: async (offset, length) => bytes.slice(offset, offset + length) }
}

function luks1(iterations = 1, digestIterations = 1): Buffer {
  const file = Buffer.alloc(3 * 1024 * 1024)
  file.write('LUKS\u00ba\u00be', 'latin1')
  file.writeUInt16BE(1, 6)
  file.write('aes', 8)
  file.write('xts-plain64', 40)
  file.write('sha256', 72)
  file.writeUInt32BE(4096, 104)
  file.writeUInt32BE(64, 108)
  file.writeUInt32BE(digestIterations, 164)
  file.writeUInt32BE(0x00ac71f3, 208)
  file.writeUInt32BE(iterations, 212)
  for (let slot = 0; slot < 8; slot += 1) {
    const at = 208 + slot * 48
    if (slot > 0) file.writeUInt32BE(0x0000dead, at)
    file.writeUInt32BE(8 + slot * 504, at + 40)
    file.writeUInt32BE(4000, at + 44)
  }
  return file
}

function luks2(text: string): Uint8Array {
  const file = Buffer.alloc(1024 * 1024)
  for (const offset of [0, 16384]) {
    const header = file.subarray(offset, offset + 16384)
    header.write(offset === 0 ? 'LUKS\u00ba\u00be' : 'SKUL\u00ba\u00be', 'latin1')
    header.writeUInt16BE(2, 6)
    header.writeBigUInt64BE(16384n, 8)
    header.writeBigUInt64BE(BigInt(offset), 256)
    header.write('sha256', 72)
    header.write(text, 4096)
    createHash('sha256').update(header).digest().copy(header, 448)
  }
  return file
}

const metadata = {
  keyslots: {
    0: {
      type: 'luks2',
      key_size: 64,
      af: { type: 'luks1', stripes: 4000, hash: 'sha256' },
      area: { type: 'raw', offset: '32768', size: '258048', encryption: 'aes-xts-plain64', key_size: 64 },
      kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 1, salt: 'AAAA' },
    },
  },
  segments: {
    0: {
      type: 'crypt',
      offset: '524288',
      size: 'dynamic',
      iv_tweak: '0',
      encryption: 'aes-xts-plain64',
      sector_size: 512,
    },
  },
  digests: {
    0: {
      type: 'pbkdf2',
      keyslots: ['0'],
      segments: ['0'],
      hash: 'sha256',
      iterations: 1,
      salt: 'AAAA',
      digest: Buffer.alloc(32).toString('base64'),
    },
  },
  config: { json_size: '12288', keyslots_size: '262144' },
}

test('a slot that no passphrase opens', async () => {
  expect(await inspectLuksPayload(readerOf(luks1()), 'x')).toMatchObject({ outcome: 'wrong-passphrase' })
  const second = luks2(JSON.stringify(metadata))
  expect(await inspectLuksPayload(readerOf(second), 'x')).toMatchObject({ outcome: 'wrong-passphrase' })
})

test.each([
  ['iterations of the slot', luks1(0xffffffff), 'too-costly'],
  ['iterations of the digest', luks1(1, 0xffffffff), 'too-costly'],
  ['no iterations', luks1(0), 'malformed'],
  ['nothing', new Uint8Array(0), 'not-luks'],
  ['a header cut off', luks1().subarray(0, 300), 'malformed'],
  ['another disk', randomBytes(4096), 'not-luks'],
])('%s', async (_, bytes, outcome) => {
  expect(await inspectLuksPayload(readerOf(bytes), 'x')).toMatchObject({ outcome, safe: false })
})

test.each([
  [8, 'serpent', 'unsupported'],
  [40, 'xts-random', 'unsupported'],
  [72, 'ripemd160', 'unsupported'],
  [104, '\u00ff\u00ff\u00ff\u00ff', 'malformed'],
  [108, '\u0000\u0000\u0002\u0000', 'malformed'],
  [248, '\u00ff\u00ff\u00ff\u00ff', 'malformed'],
  [252, '\u00ff\u00ff\u00ff\u00ff', 'malformed'],
])('other bytes at %d of version 1', async (at, value, outcome) => {
  const file = luks1()
  file.write(value, at, 'latin1')
  expect(await inspectLuksPayload(readerOf(file), 'x')).toMatchObject({ outcome, safe: false })
})

const odd: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1,
  1.5,
  1e300,
  2 ** 40,
  '',
  '-1',
  '99999999999999999999',
  'x',
  [],
  [null],
  {},
  { toString: 1 },
]

test('any value of version 2 may be any other', async () => {
  let seen = 0
  const replace = async (holder: Record<string, unknown>, key: string): Promise<void> => {
    const before = holder[key]
    for (const value of odd) {
      holder[key] = value
      const file = luks2(JSON.stringify(copy))
      const result = await inspectLuksPayload(readerOf(file), 'x', { maxIterations: 1000 })
      expect(result.safe).toBe(false)
      seen += 1
    }
    holder[key] = before
    if (typeof before === 'object' && before !== null) {
      for (const inner of Object.keys(before)) await replace(before as Record<string, unknown>, inner)
    }
  }
  const copy = structuredClone({
    ...metadata,
    config: { ...metadata.config, requirements: { mandatory: ['x'] } },
  })
  await replace(copy, 'config')
  copy.config.requirements.mandatory = []
  for (const key of ['keyslots', 'segments', 'digests']) await replace(copy, key)
  expect(seen).toBeGreaterThan(400)
}, 60_000)

test.each(['', '{', '[]', 'null', '['.repeat(12_000), '{"__proto__":{"config":{}}}'])(
  'text %j',
  async (text) => {
    expect(await inspectLuksPayload(readerOf(luks2(text)), 'x')).toMatchObject({ outcome: 'malformed' })
  },
)

test('changed bits of version 1 never throw', async () => {
  const random = new Random(7919)
  for (let round = 0; round < 300; round += 1) {
    const file = luks1()
    const at = random.below(592)
    file[at] = random.below(256)
    // Slots in use cost 4000 hashes each: none is tried here.
    file.writeUInt32BE(0, 208)
    expect((await inspectLuksPayload(readerOf(file), 'x', { maxIterations: 1 })).safe).toBe(false)
  }
})

test("a reader's error and an abort during the work pass as they are", async () => {
  const broken = new Error('gone')
  const reader = { size: 4096, read: () => Promise.reject(broken) }
  await expect(inspectLuksPayload(reader, 'x')).rejects.toBe(broken)
  const controller = new AbortController()
  const reason = new Error('enough')
  const work = inspectLuksPayload(readerOf(luks1(5_000_000)), 'x', { signal: controller.signal })
  setTimeout(() => controller.abort(reason), 20)
  await expect(work).rejects.toBe(reason)
})
