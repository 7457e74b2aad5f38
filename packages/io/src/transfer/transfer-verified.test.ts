import { createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { ImageDownloadFailedError } from '@disk-image/core'
import { crc32c, crc64nvme } from '../hashing/crc.ts'
import { describe, expect, it } from 'vitest'
import { HashStream, toNodeHashName, transferVerified } from '../index.ts'

const data = randomBytes(9 * 1024 * 1024 + 123)
const sha512 = createHash('sha512').update(data).digest('hex')
const image = { id: 'some-image', size: data.length, os_hash_algo: 'sha512', os_hash_value: sha512 }

async function* pieces(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    // The same memory again and again, as a socket would do it.
    yield Uint8Array.from(bytes.subarray(at, at + size))
  }
}

function collect(): { write(bytes: Uint8Array): Promise<void>; bytes(): Buffer } {
  const parts: Buffer[] = []
  return {
    async write(bytes) {
      await new Promise((resolve) => setImmediate(resolve))
      parts.push(Buffer.from(bytes))
    },
    bytes: () => Buffer.concat(parts),
  }
}

describe('transferVerified', () => {
  it.each([1, 65_536, 700_000])('moves every byte in order and in portions of %i', async (size) => {
    const sink = collect()
    const source = size === 1 ? data.subarray(0, 5000) : data
    const expected = createHash('sha512').update(source).digest('hex')
    const report = await transferVerified(pieces(source, size), sink, {
      image: { ...image, size: source.length, os_hash_value: expected },
      additionalHashes: ['md5', 'sha512'],
    })
    expect(sink.bytes().equals(source)).toBe(true)
    expect(report.hash).toEqual({ algorithm: 'sha512', value: expected, verified: true })
    expect(report.additionalHashes).toEqual({
      md5: createHash('md5').update(source).digest('hex'),
      sha512: expected,
    })
    expect(report.bytes).toBe(source.length)
  })

  it('refuses a wrong hash, and says that the sink has bytes', async () => {
    const wrong = Buffer.from(data)
    wrong[4_000_000] = wrong[4_000_000]! ^ 1
    const error = await transferVerified(pieces(wrong), collect(), { image }).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ImageDownloadFailedError)
    expect(error).toMatchObject({ partial: true, code: 'IMAGE_DOWNLOAD_FAILED' })
  })

  it.each([-1, 1])(
    'refuses %i bytes more than the record says, and never hands on one too many',
    async (more) => {
      const sink = collect()
      const promise = transferVerified(pieces(data), sink, { image: { ...image, size: data.length - more } })
      await expect(promise).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
      expect(sink.bytes().length).toBeLessThanOrEqual(data.length - more)
    },
  )

  it('passes on what the sink throws, and what the source throws', async () => {
    const full = new Error('no space')
    const sink = {
      write: () => {
        throw full
      },
    }
    await expect(transferVerified(pieces(data), sink, { image })).rejects.toBe(full)
    const broken = new Error('source')
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield* pieces(data.subarray(0, 100_000))
      throw broken
    }
    await expect(transferVerified(failing(), collect(), { image })).rejects.toBe(broken)
  })

  it("rejects with the signal's reason, even where the source never answers", async () => {
    const reason = new Error('stop')
    const controller = new AbortController()
    async function* stalled(): AsyncGenerator<Uint8Array> {
      yield data.subarray(0, 1000)
      await new Promise(() => undefined)
    }
    setTimeout(() => controller.abort(reason), 20)
    await expect(transferVerified(stalled(), collect(), { image, signal: controller.signal })).rejects.toBe(
      reason,
    )
  })

  it('goes on behind bytes that the caller has', async () => {
    const sink = collect()
    const had = 5_000_001
    const report = await transferVerified(pieces(data.subarray(had)), sink, {
      image,
      resumeFrom: { bytes: had, read: () => pieces(data, 1_000_000) },
    })
    expect(sink.bytes().equals(data.subarray(had))).toBe(true)
    expect(report).toMatchObject({ bytes: data.length - had, hash: { verified: true } })
  })

  it('keeps to the policy', async () => {
    const none = { ...image, os_hash_algo: null, os_hash_value: null }
    await expect(
      transferVerified(pieces(data), collect(), { image: none, verify: 'strict' }),
    ).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED', partial: false })
    const md5 = createHash('md5').update(data).digest('hex')
    const report = await transferVerified(pieces(data), collect(), { image: { ...none, checksum: md5 } })
    expect(report.hash).toEqual({ algorithm: 'md5', value: md5, verified: true })
    const wrong = { ...image, os_hash_value: 'a'.repeat(128) }
    expect((await transferVerified(pieces(data), collect(), { image: wrong, verify: 'none' })).hash).toBe(
      undefined,
    )
  })
})

describe('checksums', () => {
  const hashOf = (algorithm: string): string => createHash(algorithm).update(data).digest('hex')
  const plain = { id: 'a file', size: data.length }
  const sums = {
    crc32: crc32(data).toString(16).padStart(8, '0'),
    crc32c: crc32c(data).toString(16).padStart(8, '0'),
    crc64nvme: crc64nvme(data).toString(16).padStart(16, '0'),
  }

  it.each(Object.entries(sums))('a promised %s is compared, and is no hash', async (algorithm, value) => {
    const options = { image: plain, hashForReport: 'sha256', threadFromBytes: 1 }
    const promises = [{ algorithm, value }]
    const report = await transferVerified(pieces(data), collect(), { ...options, promises })
    expect(report.verified).toEqual(promises)
    expect(report.hash).toEqual({ algorithm: 'sha256', value: hashOf('sha256'), verified: false })
    const wrong = [{ algorithm, value: value.replace(/./g, (digit) => (digit === '0' ? '1' : '0')) }]
    await expect(transferVerified(pieces(data), collect(), { ...options, promises: wrong })).rejects.toThrow(
      `the ${algorithm} hash of the data is ${value}, its source promises`,
    )
    // Beside a hash it tells nothing, and nothing that is demanded.
    const md5 = { algorithm: 'md5', value: hashOf('md5') }
    const both = { ...options, promises: [...wrong, md5] }
    expect((await transferVerified(pieces(data), collect(), both)).verified).toEqual([md5])
    const strict = { ...options, promises, verify: 'strict' as const }
    await expect(transferVerified(pieces(data), collect(), strict)).rejects.toThrow('cannot be verified')
    const demanded = { ...options, checksums: promises }
    await expect(transferVerified(pieces(data), collect(), demanded)).rejects.toThrow('not known here')
    const nonsense = { ...options, promises: [{ algorithm, value: 'nonsense' }] }
    await expect(transferVerified(pieces(data), collect(), nonsense)).rejects.toThrow('is not a')
  })

  it('compares every one that was given or promised, each algorithm once, whatever the record says', async () => {
    const md5 = { algorithm: 'md5', value: hashOf('md5') }
    const checksums = [md5, { algorithm: 'sha256', value: hashOf('sha256').toUpperCase() }]
    const promises = [
      md5,
      { algorithm: 'sha1', value: hashOf('sha1') },
      { algorithm: 'unixsum', value: '00' },
    ]
    const report = await transferVerified(pieces(data), collect(), { image, checksums, promises })
    expect(report.verified).toEqual([
      { algorithm: 'sha512', value: sha512 },
      md5,
      { algorithm: 'sha256', value: hashOf('sha256') },
      { algorithm: 'sha1', value: hashOf('sha1') },
    ])
    expect(report.hash).toEqual({ algorithm: 'sha512', value: sha512, verified: true })
  })

  it.each([
    ['checksums', 'the checksum that was given is'],
    ['promises', 'its source promises'],
  ])('a wrong one of the %s fails like a wrong hash, and says what was found', async (name, words) => {
    const wrong = 'ab'.repeat(32)
    const options = { image: plain, [name]: [{ algorithm: 'sha256', value: wrong }] }
    await expect(transferVerified(pieces(data), collect(), options)).rejects.toMatchObject({
      code: 'IMAGE_DOWNLOAD_FAILED',
      partial: true,
      reason: `the sha256 hash of the data is ${hashOf('sha256')}, ${words} ${wrong}.`,
    })
  })

  it('compares what is demanded even without any verification, and what is promised only with it', async () => {
    const wrong = [{ algorithm: 'sha1', value: '0'.repeat(40) }]
    const none = { image: plain, verify: 'none' } as const
    await expect(
      transferVerified(pieces(data), collect(), { ...none, checksums: wrong }),
    ).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
    const report = await transferVerified(pieces(data), collect(), {
      ...none,
      promises: wrong,
      hashForReport: 'sha256',
    })
    expect(report).toMatchObject({ hash: undefined, verified: [] })
  })

  it('takes a promise that comes with the first byte', async () => {
    let promises: { algorithm: string; value: string }[] = []
    async function* late(): AsyncGenerator<Uint8Array> {
      promises = [{ algorithm: 'sha256', value: hashOf('sha256') }]
      yield* pieces(data)
    }
    const options = {
      image: plain,
      get promises() {
        return promises
      },
    }
    const report = await transferVerified(late(), collect(), options)
    expect(report.verified).toEqual(promises)
  })

  it('says what it found where there is nothing to compare with', async () => {
    const report = await transferVerified(pieces(data), collect(), { image: plain, hashForReport: 'sha256' })
    expect(report.hash).toEqual({ algorithm: 'sha256', value: hashOf('sha256'), verified: false })
    expect(report.verified).toEqual([])
  })

  it('counts as strict what was given, and a promise that is stronger than MD5', async () => {
    const strict = (promises: readonly string[], checksums: readonly string[] = []): Promise<unknown> => {
      const named = (algorithm: string) => ({ algorithm, value: hashOf(algorithm) })
      const given = { promises: promises.map(named), checksums: checksums.map(named) }
      return transferVerified(pieces(data), collect(), { image: plain, verify: 'strict', ...given })
    }
    await expect(strict(['md5'])).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED', partial: false })
    await expect(strict(['sha256'])).resolves.toMatchObject({ hash: { algorithm: 'sha256', verified: true } })
    await expect(strict([], ['md5'])).resolves.toMatchObject({ hash: { algorithm: 'md5', verified: true } })
  })

  it.each([
    [{ algorithm: 'crc32', value: '00' }, /crc32:00 has an algorithm that is not known here/],
    [{ algorithm: 'sha256', value: 'abc' }, /sha256:abc is not a sha256 hash in hex/],
  ])('refuses %j before a byte is asked for', async (checksum, message) => {
    const sink = collect()
    const promise = transferVerified(pieces(data), sink, { image: plain, checksums: [checksum] })
    await expect(promise).rejects.toThrow(message)
    expect(sink.bytes()).toHaveLength(0)
  })
})

describe('HashStream', () => {
  it.each([true, false])('hashes copied and shared bytes in order (in a thread: %s)', async (inThread) => {
    await using hash = new HashStream(['sha512', 'blake2b512'], { inThread })
    await hash.write(data.subarray(0, 3_000_000))
    const shared = new Uint8Array(new SharedArrayBuffer(1_000_000))
    shared.set(data.subarray(3_000_000, 4_000_000))
    await hash.write(shared)
    const reused = Buffer.alloc(65_536)
    for (let at = 4_000_000; at < data.length; at += reused.length) {
      const length = data.copy(reused, 0, at)
      await hash.write(reused.subarray(0, length))
    }
    expect(hash.inThread).toBe(inThread)
    expect(await hash.finish()).toEqual([sha512, createHash('blake2b512').update(data).digest('hex')])
  })
})

describe('toNodeHashName', () => {
  it("knows Python's names and nothing else", () => {
    expect(['sha512', 'sha3_512', 'blake2b', 'blake2s', 'sha512_256'].map(toNodeHashName)).toEqual([
      'sha512',
      'sha3-512',
      'blake2b512',
      'blake2s256',
      'sha512-256',
    ])
    expect(['constructor', 'SHA512', 'shake_128', ''].map(toNodeHashName)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })
})
