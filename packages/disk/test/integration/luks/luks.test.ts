import { createHash, randomBytes } from 'node:crypto'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { type DiskFormatError, openLuks, type OpenLuksOptions } from '@disk-image/disk'
import { openQcow2 } from '@disk-image/disk/qcow2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readAll, readerOf } from '../../unit/formats/read-all.ts'
import { Random } from '../../random.ts'
import { streamInto } from '../../stream-into.ts'
import { createFolder, openReader } from '../formats/tools.ts'
import { cheap, cryptsetup, makeByQemu, makeDisk, makeLuks1, makeLuks2, makeQcow2 } from './containers.ts'

const mib = 1024 ** 2
const megabytes = 6
const passphrase = Buffer.from('geheim, größer\n')
let folder: Awaited<ReturnType<typeof createFolder>>
let disk: Buffer

beforeAll(async () => {
  folder = await createFolder()
  await makeDisk(folder.file('disk'), megabytes, randomBytes(3 * mib + 12_345))
  disk = await readFile(folder.file('disk'))
  await writeFile(folder.file('key'), passphrase)
  await writeFile(folder.file('second'), Buffer.from([0, 255, 10, 128]))
})
afterAll(() => folder[Symbol.asyncDispose]())

async function read(
  file: string,
  secret: Uint8Array = passphrase,
  options: Partial<OpenLuksOptions> = {},
): Promise<{ readonly bytes: Buffer; readonly keySlot: number; readonly cipher: string }> {
  await using reader = await openReader(file)
  await using opened = await openLuks(reader, { passphrase: secret, ...options })
  return {
    bytes: await readAll(opened),
    keySlot: opened.keySlot,
    cipher: `${opened.layout.version} ${opened.layout.cipherName} ${opened.layout.sectorBytes}`,
  }
}

async function expectDisk(
  file: string,
  cipher: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const found = await read(file)
  expect(found).toMatchObject({ cipher, ...more })
  expect(found.bytes.subarray(0, disk.length).equals(disk)).toBe(true)
}

async function refusal(
  file: string,
  secret?: Uint8Array,
  options?: Partial<OpenLuksOptions>,
): Promise<DiskFormatError> {
  const error = await read(file, secret, options).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toMatchObject({ code: 'DISK_FORMAT' })
  return error as DiskFormatError
}

describe('LUKS 1 as cryptsetup and qemu make it', () => {
  test.each([
    ['aes-xts-plain64', '512', 'sha256'],
    ['aes-xts-plain64', '256', 'sha1'],
    ['aes-xts-plain', '512', 'sha512'],
    ['aes-cbc-essiv:sha256', '256', 'sha256'],
    ['aes-cbc-plain64', '128', 'sha1'],
  ])('%s %s %s', async (cipher, bits, hash) => {
    const file = folder.file('luks1')
    await makeLuks1(file, folder.file('disk'), megabytes, folder.file('key'), [
      '--cipher',
      cipher,
      '--key-size',
      bits,
      '--hash',
      hash,
    ])
    await expectDisk(file, `1 ${cipher} 512`)
  })

  // Few: qemu-img keeps a processor busy for seconds to choose its iterations, whatever it is told.
  test.each([
    ['aes-xts-plain64', ''],
    ['aes-cbc-essiv:sha256', 'cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,cipher-alg=aes-128,'],
  ])(
    '%s by qemu-img',
    async (cipher, options) => {
      const file = folder.file('qemu')
      await makeByQemu(file, folder.file('disk'), folder.file('key'), options)
      const { bytes } = await read(file)
      expect(bytes.equals(disk)).toBe(true)
      await expectDisk(file, `1 ${cipher} 512`)
    },
    60_000,
  )

  test('any of several key slots opens it; a wrong passphrase does not, and is not told', async () => {
    const file = folder.file('slots')
    const [key, second] = [folder.file('key'), folder.file('second')]
    await makeLuks1(file, folder.file('disk'), megabytes, key, [])
    const fast = ['--pbkdf-force-iterations', '1000']
    await cryptsetup('luksAddKey', ...fast, '--key-slot', '5', '--key-file', key, file, second)
    expect(await read(file)).toMatchObject({ keySlot: 0 })
    expect(await read(file, Uint8Array.of(0, 255, 10, 128))).toMatchObject({ keySlot: 5 })
    const error = await refusal(file, Buffer.from('another'))
    expect(error).toMatchObject({ rule: 'luks-passphrase', found: '2 key slots in use' })
    expect(JSON.stringify(error) + error.stack).not.toContain('another')
    expect(await refusal(file, passphrase.subarray(0, -1))).toMatchObject({ rule: 'luks-passphrase' })
    await cryptsetup('luksKillSlot', '--key-file', second, file, '0')
    expect(await refusal(file)).toMatchObject({ rule: 'luks-passphrase', found: '1 key slots in use' })
  })

  test('a cipher that is not read here', async () => {
    const file = folder.file('serpent')
    await makeByQemu(file, folder.file('disk'), folder.file('key'), 'cipher-alg=serpent-256,')
    expect(await refusal(file)).toMatchObject({ rule: 'luks-unsupported', found: 'serpent-xts-plain64' })
  }, 60_000)

  test('a file that is cut off', async () => {
    const file = folder.file('short')
    await makeLuks1(file, folder.file('disk'), megabytes, folder.file('key'), [])
    const whole = await readFile(file)
    const payload = whole.readUInt32BE(104) * 512
    await truncate(file, payload + 1024)
    expect((await read(file)).bytes.equals(disk.subarray(0, 1024))).toBe(true)
    await truncate(file, payload - 512)
    expect(await refusal(file)).toMatchObject({ rule: 'luks-truncated' })
    await writeFile(file, whole.subarray(0, 500))
    expect(await refusal(file)).toMatchObject({ rule: 'luks-truncated' })
  })
})

describe('LUKS 2 as cryptsetup makes it', () => {
  const make = (file: string, ...options: string[]): Promise<void> =>
    makeLuks2(file, folder.file('disk'), megabytes, folder.file('key'), options)

  test.each([
    ['argon2id', 'aes-xts-plain64', '512', '512'],
    ['argon2i', 'aes-xts-plain64', '256', '4096'],
    ['pbkdf2', 'aes-xts-plain64', '512', '1024'],
    ['pbkdf2', 'aes-cbc-essiv:sha256', '256', '512'],
    ['pbkdf2', 'aes-cbc-plain64', '256', '2048'],
  ] as const)(
    '%s, %s, %s bits, sectors of %s bytes',
    async (kdf, cipher, bits, sectorBytes) => {
      const file = folder.file('luks2')
      const iterations = kdf === 'pbkdf2' ? [] : ['--pbkdf-force-iterations', '4']
      const sectors = ['--sector-size', sectorBytes]
      await make(file, ...cheap[kdf], ...iterations, '--cipher', cipher, '--key-size', bits, ...sectors)
      await expectDisk(file, `2 ${cipher} ${sectorBytes}`)
    },
    60_000,
  )

  test('slots of several kinds; the preferred one is tried first, and one to be ignored is not', async () => {
    const file = folder.file('kinds')
    await make(file, ...cheap.pbkdf2)
    const add = ['luksAddKey', '--key-file', folder.file('key'), file, folder.file('second')]
    await cryptsetup(...cheap.argon2id, '--pbkdf-force-iterations', '4', '--key-slot', '7', ...add)
    const second = Uint8Array.of(0, 255, 10, 128)
    expect(await read(file, second)).toMatchObject({ keySlot: 7 })
    await cryptsetup('config', '--priority', 'prefer', '--key-slot', '7', file)
    expect(await read(file)).toMatchObject({ keySlot: 0 })
    await cryptsetup('config', '--priority', 'ignore', '--key-slot', '7', file)
    expect(await refusal(file, second)).toMatchObject({
      rule: 'luks-passphrase',
      found: '1 key slots in use',
    })
  }, 60_000)

  test('a re-encryption that is not over is refused', async () => {
    const file = folder.file('begun')
    await make(file, ...cheap.pbkdf2, '--init-only')
    expect(await refusal(file)).toMatchObject({ rule: 'luks-unsupported', found: 'online-reencrypt-v2' })
  })

  test('more work or memory than allowed is refused before any is done', async () => {
    const file = folder.file('costly')
    await make(file, ...cheap.argon2id, '--pbkdf-force-iterations', '4')
    const rule = 'luks-key-derivation'
    expect(await refusal(file, passphrase, { maxMemoryBytes: 1024 ** 2 })).toMatchObject({ rule })
    expect(await refusal(file, passphrase, { maxIterations: 100 })).toMatchObject({ rule })
  })

  test('the header without its data, and one of two headers that is damaged', async () => {
    const file = folder.file('damaged')
    await make(file, ...cheap.pbkdf2)
    const whole = await readFile(file)
    const truncated = await openLuks(readerOf(whole.subarray(0, 16 * mib - 512)), { passphrase }).catch(
      (error: unknown) => error,
    )
    expect(truncated).toMatchObject({ rule: 'luks-header', accepted: expect.stringContaining('its data') })
    for (const at of [448, 4200, 16_384, 16_384 + 448, 16_384 + 4200]) {
      const bytes = Buffer.from(whole)
      bytes[at] = (bytes[at] ?? 0) ^ 1
      const error = await openLuks(readerOf(bytes), { passphrase }).catch((reason: unknown) => reason)
      expect(error).toMatchObject({ rule: 'luks-header', accepted: expect.stringContaining('repair') })
    }
  }, 60_000)
})

describe('a qcow2 that qemu-img encrypts', () => {
  test.each([
    ['clusters of 64 KiB', ''],
    ['clusters of 512 bytes', ',cluster_size=512,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain64'],
  ])(
    '%s',
    async (_, options) => {
      const file = folder.file('qcow2')
      await makeQcow2(file, folder.file('disk'), folder.file('key'), options)
      await using reader = await openReader(file)
      await using opened = await openQcow2(reader, { passphrase })
      expect((await readAll(opened)).equals(disk)).toBe(true)
      const [offset, length] = [mib - 3, 70_000]
      const part = await opened.read(offset, length)
      expect(Buffer.from(part).equals(disk.subarray(offset, offset + length))).toBe(true)
      const wrong = Buffer.from('another')
      await expect(openQcow2(reader, { passphrase: wrong })).rejects.toMatchObject({
        rule: 'luks-passphrase',
      })
      await expect(openQcow2(reader)).rejects.toMatchObject({ rule: 'qcow2-unsupported' })
      const bytes = await readFile(file)
      const outside = bytes.subarray(0, bytes.readUInt32BE(104 - 4) + 4096)
      await expect(openQcow2(readerOf(outside), { passphrase })).rejects.toMatchObject({
        code: 'QCOW2_DECODE',
      })
    },
    60_000,
  )
})

describe('as a stream', () => {
  let image: Buffer
  const files = () => ({ spool: folder.file('spool'), target: folder.file('streamed') })
  const stream = (bytes: Uint8Array, secret: Uint8Array = passphrase, fileBytes?: number) =>
    streamInto(new Random(7), 'luks', bytes, files(), 0, { passphrase: secret, fileBytes })

  test.each([1, 2])(
    'version %d, in chunks of chance',
    async (version) => {
      const file = folder.file(`stream ${version}`)
      const from = [file, folder.file('disk'), megabytes, folder.file('key')] as const
      if (version === 1) await makeLuks1(...from, [])
      else
        await makeLuks2(...from, [
          ...cheap.argon2id,
          '--pbkdf-force-iterations',
          '4',
          '--sector-size',
          '4096',
        ])
      image = await readFile(file)
      const { bytes } = await read(file)
      for (const fileBytes of [undefined, image.length]) {
        expect(await stream(image, passphrase, fileBytes)).toMatchObject({
          sizeBytes: bytes.length,
          spooledBytes: 0,
        })
        expect(bytes.equals(await readFile(files().target))).toBe(true)
      }
      // An odd end, and nothing but the header.
      const payload = image.length - bytes.length
      for (const [length, wanted] of [
        [image.length - 100_001, Math.floor((bytes.length - 100_001) / 4096) * 4096],
        [payload, 0],
      ] as const) {
        const { sizeBytes } = await stream(image.subarray(0, length))
        expect(sizeBytes).toBeGreaterThanOrEqual(wanted)
        expect(bytes.subarray(0, sizeBytes).equals(await readFile(files().target))).toBe(true)
      }
    },
    60_000,
  )

  test('nothing is written with a wrong passphrase, of a damaged or cut header, or of another size', async () => {
    const rows = [
      [image, Buffer.from('another'), 'luks-passphrase'],
      [Buffer.from(image).fill(1, 24, 28), passphrase, 'luks-header'],
      [image.subarray(0, 100_000), passphrase, 'luks-header'],
    ] as const
    for (const [bytes, secret, rule] of rows) {
      await writeFile(files().target, '')
      await expect(stream(bytes, secret)).rejects.toMatchObject({ rule })
      expect((await readFile(files().target)).length).toBe(0)
    }
    await expect(stream(image, passphrase, image.length + 4096)).rejects.toMatchObject({
      rule: 'luks-truncated',
    })
  }, 60_000)
})

test('an abort ends opening and reading with its reason', async () => {
  const file = folder.file('abort')
  await makeLuks2(file, folder.file('disk'), megabytes, folder.file('key'), [...cheap.pbkdf2])
  const reason = new Error('enough')
  await expect(read(file, passphrase, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  const controller = new AbortController()
  await using reader = await openReader(file)
  const opened = await openLuks(reader, { passphrase, signal: controller.signal })
  controller.abort(reason)
  await expect(opened.read(0, 512)).rejects.toBe(reason)
  await opened.close()
  expect(reader.size).toBeGreaterThan(0)
})

test('parts of the disk, at any place and of any length', async () => {
  const file = folder.file('parts')
  await makeLuks2(file, folder.file('disk'), megabytes, folder.file('key'), [
    ...cheap.pbkdf2,
    '--sector-size',
    '4096',
  ])
  await using reader = await openReader(file)
  await using opened = await openLuks(reader, { passphrase })
  for (const [offset, length] of [
    [0, 1],
    [511, 2],
    [4095, 4098],
    [mib - 1, mib + 2],
    [5 * mib + 17, 12],
  ] as const) {
    const into = new Uint8Array(length)
    const bytes = await opened.read(offset, length, into)
    expect(Buffer.from(bytes).equals(disk.subarray(offset, offset + length))).toBe(true)
  }
  expect(await opened.read(opened.size, 10)).toHaveLength(0)
  await expect(opened.read(-1, 10)).rejects.toThrow('no number of bytes')
})

describe('a changed header is refused, or the disk is the same', () => {
  const options = { passphrase, maxIterations: 10_000, maxMemoryBytes: 8 * mib }

  async function outcomeOf(file: Buffer): Promise<string> {
    const opened = await openLuks(readerOf(file), options).catch((error: unknown) => error as DiskFormatError)
    if (opened instanceof Error) return opened.rule.startsWith('luks-') ? 'refused' : opened.message
    return disk.subarray(0, 4096).equals(await opened.read(0, 4096)) ? 'same' : 'different'
  }

  test('version 1, but for where its data is, which nothing proves', async () => {
    await makeLuks1(folder.file('mutant'), folder.file('disk'), megabytes, folder.file('key'), [])
    const whole = await readFile(folder.file('mutant'))
    const random = new Random(1)
    const seen: string[] = []
    for (let round = 0; round < 120; round += 1) {
      const file = Buffer.from(whole)
      const at = random.below(592)
      file[at] = random.chance(0.5) ? random.below(256) : (file[at] ?? 0) ^ (1 << random.below(8))
      const outcome = await outcomeOf(file)
      seen.push(outcome === 'different' && Math.floor(at / 4) === 26 ? 'elsewhere' : outcome)
    }
    expect(new Set(seen.filter((outcome) => outcome !== 'elsewhere'))).toEqual(new Set(['same', 'refused']))
  }, 120_000)

  test('version 2, but for its segment, which nothing proves', async () => {
    const iterations = ['--pbkdf-force-iterations', '4']
    const file = folder.file('mutant')
    await makeLuks2(file, folder.file('disk'), megabytes, folder.file('key'), [
      ...cheap.argon2id,
      ...iterations,
    ])
    const whole = await readFile(file)
    const random = new Random(2)
    const text = whole.subarray(4096, whole.indexOf(0, 4096)).toString()
    const seen: string[] = []
    for (let round = 0; round < 120; round += 1) {
      const mutant = Buffer.from(whole)
      const { name, changed } = mutate(text, random)
      writeText(mutant, changed)
      const outcome = await outcomeOf(mutant)
      const isFree = ['offset', 'iv_tweak', 'sector_size', 'encryption'].includes(name)
      seen.push(outcome === 'different' && isFree ? 'elsewhere' : outcome)
    }
    expect(new Set(seen.filter((outcome) => outcome !== 'elsewhere'))).toEqual(new Set(['same', 'refused']))
  }, 120_000)

  const values = [
    '""',
    '"0"',
    '0',
    '-1',
    '1e300',
    '4294967296',
    '"18446744073709551615"',
    '[]',
    '{}',
    'null',
  ] as const

  /** Another value in place of one, or another digit. */
  function mutate(text: string, random: Random): { readonly name: string; readonly changed: string } {
    const places = [...text.matchAll(/"(\w+)":("[^"]*"|\d+)/g)]
    const place = places[random.below(places.length)]
    const [found = '', name = '', before = ''] = place ?? []
    const digit = (): string => String(random.below(10))
    const value = random.chance(0.5) ? random.pick(values) : before.replace(/\d/, digit)
    const end = (place?.index ?? 0) + found.length
    return { name, changed: `${text.slice(0, end - before.length)}${value}${text.slice(end)}` }
  }

  function writeText(file: Buffer, text: string): void {
    for (const offset of [0, 16_384]) {
      const header = file.subarray(offset, offset + 16_384)
      header.fill(0, 4096).write(text, 4096)
      header.fill(0, 448, 512)
      createHash('sha256').update(header).digest().copy(header, 448)
    }
  }
})
