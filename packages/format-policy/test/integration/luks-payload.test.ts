import { createCipheriv, randomBytes } from 'node:crypto'
import { open, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { makeEncryptedImage } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  inspectLuksPayload,
  type InspectLuksPayloadOptions,
  type LuksPayloadResult,
} from '@disk-image/format-policy/inspector'
import { failed, FileReader, inspectFile, run, temporaryDirectory } from '../support.ts'

const passphrase = 'geheim, größer'
const mib = 1024 ** 2
let directory: Awaited<ReturnType<typeof temporaryDirectory>>

const place = (name: string): string => path.join(directory.path, name)

async function look(
  file: string,
  secret: string | Uint8Array = passphrase,
  options: InspectLuksPayloadOptions = {},
): Promise<LuksPayloadResult> {
  using reader = new FileReader(file)
  return await inspectLuksPayload(reader, secret, options)
}

async function blank(name: string, megabytes: number): Promise<string> {
  const handle = await open(place(name), 'w')
  await handle.truncate(megabytes * mib)
  await handle.close()
  return place(name)
}

const secretObject = (): string[] => ['--object', `secret,id=s,file=${place('key')}`]

/** Writes a disk into a LUKS 1 container as qemu's driver does. */
async function fill(container: string, payload: string): Promise<void> {
  const target = `driver=luks,key-secret=s,file.filename=${container}`
  await run('qemu-img', [
    'convert',
    '-n',
    '-f',
    'raw',
    ...secretObject(),
    '--target-image-opts',
    payload,
    target,
  ])
}

async function expectInside(
  file: string,
  payload: string,
  more: Readonly<Record<string, unknown>>,
): Promise<void> {
  const inside = await look(file)
  if (inside.outcome !== 'inspected') throw new Error(JSON.stringify(inside))
  expect(inside).toMatchObject(more)
  const alone = await inspectFile(payload)
  expect(inside.inspection.format).toBe(alone.format)
  expect(failed(inside.inspection)).toEqual(failed(alone))
  expect(inside.inspection.contentName).toBe(alone.contentName)
  expect(inside.safe).toBe(alone.safe)
  // A raw disk is as large as its container.
  const sizeBytes = alone.format === 'raw' ? inside.inspection.fileSizeBytes : alone.virtualSizeBytes
  expect(inside.inspection.virtualSizeBytes).toBe(sizeBytes)
}

const payloads = ['raw', 'plain', 'backed'] as const

beforeAll(async () => {
  directory = await temporaryDirectory()
  await writeFile(place('key'), passphrase)
  await blank('raw', 2)
  await run('mkfs.fat', [place('raw')])
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', place('plain'), '64M'])
  const backing = ['-b', '/etc/passwd', '-F', 'raw', '-u']
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, place('backed'), '64M'])
})
afterAll(() => directory[Symbol.asyncDispose]())

test('the payloads are what they should be', async () => {
  expect(await inspectFile(place('raw'))).toMatchObject({ format: 'raw', contentName: 'fat', safe: true })
  expect(await inspectFile(place('plain'))).toMatchObject({ format: 'qcow2', safe: true })
  expect(failed(await inspectFile(place('backed')))).toEqual(['backing-file'])
})

// Only two: qemu-img keeps a processor busy for seconds to choose its iterations, whatever it is told.
describe('LUKS 1 by qemu-img', () => {
  test.each([
    ['aes-xts-plain64', ''],
    ['aes-cbc-essiv:sha256', 'cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,'],
  ])('%s, %s', async (cipher, options) => {
    const file = place('qemu')
    const all = `${options}key-secret=s,iter-time=10`
    await makeEncryptedImage(['create', '-q', '-f', 'luks', ...secretObject(), '-o', all, file, '4M'])
    // The largest comes last and covers the others.
    for (const payload of payloads.toReversed()) {
      await fill(file, place(payload))
      await expectInside(file, place(payload), { version: 1, cipher, keySlot: 0 })
    }
  })
})

describe('LUKS 1 by cryptsetup', () => {
  const fast = ['--pbkdf-force-iterations', '1000']

  test.each([
    ['aes-xts-plain64', '512', 'sha256'],
    ['aes-xts-plain64', '256', 'sha1'],
    ['aes-xts-plain64', '256', 'sha512'],
    ['aes-xts-plain', '512', 'sha1'],
    ['aes-cbc-essiv:sha256', '256', 'sha512'],
    ['aes-cbc-plain64', '128', 'sha256'],
  ])('%s %s %s', async (cipher, bits, hash) => {
    for (const payload of payloads) {
      const file = await blank(`cryptsetup-${payload}`, 8)
      const kind = ['--type', 'luks1', '--cipher', cipher, '--key-size', bits, '--hash', hash]
      await run('cryptsetup', ['luksFormat', '-q', ...kind, ...fast, '--key-file', place('key'), file])
      await fill(file, place(payload))
      await expectInside(file, place(payload), { version: 1, cipher })
    }
  })

  test('a second key, bytes as a passphrase, a wrong one, too much work, an abort', async () => {
    const file = await blank('slots', 8)
    await writeFile(place('second'), Buffer.from([0, 255, 10, 128]))
    const key = ['--key-file', place('key')]
    await run('cryptsetup', ['luksFormat', '-q', '--type', 'luks1', ...fast, ...key, file])
    await run('cryptsetup', ['luksAddKey', '-q', ...fast, ...key, file, place('second')])
    await fill(file, place('backed'))
    expect(await look(file, Uint8Array.of(0, 255, 10, 128))).toMatchObject({
      outcome: 'inspected',
      safe: false,
      keySlot: 1,
    })
    const wrong = await look(file, 'another')
    expect(wrong).toMatchObject({ outcome: 'wrong-passphrase', safe: false, found: '2 key slots in use' })
    expect(JSON.stringify(wrong)).not.toContain('another')
    expect(await look(file, '')).toMatchObject({ outcome: 'wrong-passphrase' })
    expect(await look(file, passphrase, { maxIterations: 1000 })).toMatchObject({ outcome: 'too-costly' })
    const reason = new Error('enough')
    await expect(look(file, passphrase, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

describe('LUKS 2 by cryptsetup', () => {
  const pbkdf2 = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000']

  async function format(file: string, options: readonly string[], volumeKey: Uint8Array): Promise<void> {
    await writeFile(place('volume-key'), volumeKey)
    const keys = ['--volume-key-file', place('volume-key'), '--key-file', place('key')]
    const kind = ['--type', 'luks2', '--key-size', `${volumeKey.length * 8}`]
    await run('cryptsetup', ['luksFormat', '-q', ...kind, ...options, ...keys, file])
  }

  /** qemu-img does not write LUKS 2, so the sectors are encrypted here. */
  async function encrypt(file: string, payload: string, key: Uint8Array, sectorBytes: number): Promise<void> {
    const plain = Buffer.alloc(2 * mib)
    ;(await readFile(payload)).copy(plain)
    const handle = await open(file, 'r+')
    for (let at = 0; at < plain.length; at += sectorBytes) {
      const vector = Buffer.alloc(16)
      vector.writeUInt32LE(at / 512)
      const cipher = createCipheriv(`aes-${key.length * 4}-xts`, key, vector)
      cipher.update(plain.subarray(at, at + sectorBytes)).copy(plain, at)
    }
    await handle.write(plain, 0, plain.length, 16 * mib)
    await handle.close()
  }

  test.each([
    [64, 512, 'sha256'],
    [32, 512, 'sha1'],
    [64, 4096, 'sha512'],
  ])('%d bytes of key, sectors of %d, %s', async (keyBytes, sectorBytes, hash) => {
    for (const payload of payloads) {
      const file = await blank(`luks2-${payload}`, 20)
      const key = randomBytes(keyBytes)
      await format(file, [...pbkdf2, '--hash', hash, '--sector-size', `${sectorBytes}`], key)
      await encrypt(file, place(payload), key, sectorBytes)
      await expectInside(file, place(payload), { version: 2, payloadOffsetBytes: 16 * mib })
    }
    expect(await look(place('luks2-raw'), 'another')).toMatchObject({ outcome: 'wrong-passphrase' })
  })

  test('argon2 is named and not looked into', async () => {
    const file = await blank('argon2', 20)
    const cheap = ['--pbkdf-memory', '32', '--pbkdf-parallel', '1', '--pbkdf-force-iterations', '4']
    await format(file, ['--pbkdf', 'argon2id', ...cheap], randomBytes(64))
    expect(await look(file)).toMatchObject({
      outcome: 'unsupported',
      safe: false,
      found: 'argon2id',
      accepted: 'pbkdf2',
    })
  })

  test('a damaged header, and two that differ, are refused', async () => {
    const file = await blank('damaged', 20)
    await format(file, pbkdf2, randomBytes(64))
    const whole = await readFile(file)
    for (const at of [4200, 16384 + 4200, 16, 16384 + 16, 16384]) {
      const bytes = Buffer.from(whole)
      bytes[at] = (bytes[at] ?? 0) ^ 1
      await writeFile(file, bytes)
      expect(await look(file)).toMatchObject({ outcome: 'malformed', safe: false })
    }
    // The older pair's second header, whole in itself, behind a newer first one.
    await writeFile(file, whole)
    await run('cryptsetup', ['config', '--label', 'x', file])
    const newer = await readFile(file)
    expect(newer.equals(whole)).toBe(false)
    whole.copy(newer, 16384, 16384, 32768)
    await writeFile(file, newer)
    expect(await look(file)).toMatchObject({ outcome: 'malformed', offset: 16384 })
  })
})
