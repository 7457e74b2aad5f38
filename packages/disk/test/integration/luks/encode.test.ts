import { execFile } from 'node:child_process'
import { open, readFile, truncate, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { encodeDisk, type LuksEncodeOptions, openLuks, openRaw } from '@disk-image/disk'
import { requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readAll } from '../../unit/formats/read-all.ts'
import { Random } from '../../random.ts'
import { createFolder, makeDisk, openReader, tool } from '../formats/tools.ts'
import { encodeFile } from '../encode/encoded.ts'
import { cryptsetup } from './containers.ts'

const run = promisify(execFile)
const mib = 1024 ** 2
const passphrase = Buffer.from('geheim, größer\n')
const iterations = 1000
let folder: Awaited<ReturnType<typeof createFolder>>

beforeAll(async () => {
  folder = await createFolder()
  await writeFile(folder.file('key'), passphrase)
  await writeFile(folder.file('other'), 'another')
})
afterAll(() => folder[Symbol.asyncDispose]())

const opens = (file: string, key = 'key'): Promise<boolean> =>
  cryptsetup('open', '--test-passphrase', '--key-file', folder.file(key), file).then(
    () => true,
    () => false,
  )

type Row = readonly [luks: Omit<LuksEncodeOptions, 'passphrase'>, sizeBytes: number, dump: RegExp]

const rows: readonly Row[] = [
  [{ iterations }, 5 * mib + 512, /xts-plain64[^]*MK bits:\s+512\n/],
  [{ iterations, keyBytes: 32, hash: 'sha1' }, 512, /xts-plain64[^]*MK bits:\s+256\n/],
  [{ iterations, cipher: 'aes-cbc-essiv:sha256' }, 3 * mib, /cbc-essiv:sha256[^]*MK bits:\s+256\n/],
  [{ iterations, cipher: 'aes-cbc-plain64', keyBytes: 16, hash: 'sha512' }, 70_144, /cbc-plain64/],
  [{ version: 2, keyDerivationMs: 1 }, 2 * mib + 512, /argon2id/],
  [{ version: 2, iterations, keyDerivation: 'pbkdf2', sectorBytes: 4096 }, 9 * mib, /sector: 4096/],
  [{ version: 2, iterations, keyDerivation: 'pbkdf2', cipher: 'aes-cbc-essiv:sha256' }, mib, /pbkdf2/],
]

test.each(rows)(
  '%j, %d bytes: cryptsetup, qemu-img and our reader open it',
  async (more, sizeBytes, dump) => {
    const luks = { passphrase, ...more }
    const [raw, image, written, theirs] = ['raw', 'image', 'written', 'theirs'].map((name) =>
      folder.file(name),
    ) as [string, string, string, string]
    const parts = await makeDisk(new Random(sizeBytes), raw, sizeBytes)
    const { sizeBytes: imageBytes } = await encodeFile(
      raw,
      parts,
      { format: 'luks', luks },
      { streamed: image, written },
    )
    await tool('cmp', image, written)
    const disk = await readFile(raw)
    await using reader = await openReader(image)
    expect(reader.size).toBe(imageBytes)
    await using opened = await openLuks(reader, { passphrase })
    expect(disk.equals(await readAll(opened))).toBe(true)
    expect(await cryptsetup('luksDump', image)).toMatch(dump)
    expect([await opens(image), await opens(image, 'other')]).toEqual([true, false])
    if (more.version === 2) await decryptByCryptsetup(image, theirs, sizeBytes)
    else {
      const secret = ['--object', `secret,id=s,file=${folder.file('key')}`]
      const from = ['--image-opts', `driver=luks,key-secret=s,file.filename=${image}`]
      await run(requireTool('qemu-img'), ['convert', ...secret, ...from, '-O', 'raw', theirs])
    }
    expect(disk.equals(await readFile(theirs))).toBe(true)
  },
  60_000,
)

/** Decrypts a container where it is, without the kernel's device mapper, and cuts off what its header took. */
async function decryptByCryptsetup(image: string, into: string, sizeBytes: number): Promise<void> {
  await tool('cp', image, into)
  const header = `${into}.header`
  await tool('rm', '-f', header)
  await cryptsetup(
    'reencrypt',
    '--decrypt',
    '--force-offline-reencrypt',
    '--header',
    header,
    '--key-file',
    folder.file('key'),
    into,
  )
  await truncate(into, sizeBytes)
}

describe('what is asked for', () => {
  const bytes = new Uint8Array(mib).fill(7)
  const disk = () => openRaw({ size: bytes.length, read: async (at, length) => bytes.slice(at, at + length) })
  const encode = async (luks: Partial<LuksEncodeOptions>, sizeBytes?: number) =>
    encodeDisk(await disk(), { format: 'luks', sizeBytes, luks: { passphrase, iterations, ...luks } })

  test('a longer disk ends with zeros, and the same random bytes make the same container', async () => {
    const random = (): ((count: number) => Uint8Array) => {
      const generator = new Random(5)
      return (count) => new Uint8Array(count).map(() => generator.below(256))
    }
    const files = await Promise.all(
      [1, 2].map(async () => {
        const image = await encode({ random: random() }, 2 * mib)
        const chunks: Uint8Array[] = []
        for await (const chunk of image.open()) chunks.push(Uint8Array.from(chunk))
        expect(image.sizeBytes).toBe(chunks.reduce((all, { length }) => all + length, 0))
        return Buffer.concat(chunks)
      }),
    )
    const [file = Buffer.alloc(0), again] = files
    expect(file.equals(again ?? Buffer.alloc(0))).toBe(true)
    const reader = {
      size: file.length,
      read: async (at: number, length: number) => file.subarray(at, at + length),
    }
    await using opened = await openLuks(reader, { passphrase })
    const found = await readAll(opened)
    expect(found.equals(Buffer.concat([bytes, Buffer.alloc(mib)]))).toBe(true)
    // Zeros look like anything else.
    expect(file.includes(Buffer.alloc(4096), file.length - mib)).toBe(false)
  })

  test('a key takes about as long as it shall, by a measure of this machine', async () => {
    await writeFile(folder.file('timed'), '')
    await using target = await open(folder.file('timed'), 'r+')
    const image = await encode({ iterations: undefined, keyDerivationMs: 300 })
    await image.writeTo({
      write: async (chunk, offset) => void (await target.write(chunk, 0, chunk.length, offset)),
      zero: async () => undefined,
    })
    const head = await readFile(folder.file('timed'))
    // Ten times as fast or slow is no machine that runs this.
    expect(head.readUInt32BE(212)).toBeGreaterThan(20_000)
    expect(head.readUInt32BE(212)).toBeLessThan(20_000_000)
    await image.close?.()
    await expect(image.writeTo(target as never)).rejects.toThrow('its key is gone')
  })

  test('an abort does not wait for the key', async () => {
    const reason = new Error('enough')
    const abort = new AbortController()
    const luks = { passphrase, iterations: 20_000_000 }
    const asked = encodeDisk(await disk(), { format: 'luks', luks, signal: abort.signal })
    setTimeout(() => abort.abort(reason), 20)
    const start = performance.now()
    await expect(asked).rejects.toBe(reason)
    // Deriving it takes several seconds.
    expect(performance.now() - start).toBeLessThan(2000)
  })

  test.each([
    [{ cipher: 'serpent-xts-plain64' }, 'serpent-xts-plain64'],
    [{ keyBytes: 20 }, '20 bytes'],
    [{ hash: 'md5' }, 'md5'],
    [{ version: 3 as 2 }, 'no LUKS 3'],
    [{ sectorBytes: 4096 }, 'no sectors of 4096'],
    [{ version: 2, sectorBytes: 8192 } as const, 'no sectors of 8192'],
    [{ keyDerivation: 'argon2id' } as const, 'no key derivation but pbkdf2'],
    [{ iterations: 10 }, '1000 iterations'],
    [{ keyDerivationMs: 0 }, 'keyDerivationMs'],
    [{ passphrase: Buffer.alloc(0) }, 'passphrase is empty'],
  ])('%j is refused', async (luks, said) => {
    await expect(encode(luks)).rejects.toMatchObject({
      code: 'INVALID',
      message: expect.stringContaining(said),
    })
  })
})
