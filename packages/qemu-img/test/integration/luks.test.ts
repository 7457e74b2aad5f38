import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError, MiB, ProcessExecutionError } from '@disk-image/core'
import { createQemuImg, decodeCipher } from '@disk-image/qemu-img'
import { requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { attachLoopDevice, hashOf, makeDisk } from './disk.ts'
import { createSandboxedRunner } from './sandboxed-runner.ts'

const cryptsetup = requireTool('cryptsetup')
const nbdkit = requireTool('nbdkit')
requireTool('nbdcopy', 'libnbd-bin')
const runner = createSandboxedRunner()
const qemuImg = createQemuImg({ runner })
const sizeBytes = 8 * MiB
const keyDerivationMs = 20

let folder: string
let source: string
let sourceHash: string
let first: string
let second: string
beforeAll(async () => {
  folder = await mkdtemp('/var/tmp/luks-')
  source = path.join(folder, 'source')
  first = path.join(folder, 'first,key')
  second = path.join(folder, 'second')
  await makeDisk(source, sizeBytes)
  sourceHash = await hashOf(source, sizeBytes)
  await writeFile(first, 'correct horse', { mode: 0o600 })
  await writeFile(second, 'battery staple', { mode: 0o600 })
})
afterAll(() => rm(folder, { recursive: true }))

function opens(image: string, passphraseFile: string): boolean {
  const args = ['open', '--test-passphrase', '--key-file', passphraseFile, image]
  return spawnSync(cryptsetup, args).status === 0
}

/** The disk inside, as a reader reads it that shares no code with qemu. */
async function readIndependently(image: string, passphraseFile: string): Promise<string> {
  const copy = path.join(folder, 'read-by-nbdkit')
  const args = [
    '--exit-with-parent',
    '-U',
    '-',
    '--filter=luks',
    'file',
    image,
    `passphrase=+${passphraseFile}`,
  ]
  execFileSync(nbdkit, [...args.slice(1), '--run', 'nbdcopy "$uri" "$COPY"'], {
    env: { ...process.env, COPY: copy },
  })
  return hashOf(copy, sizeBytes)
}

test('a plain disk becomes an encrypted volume, with the cipher that was asked for', async () => {
  await using device = await attachLoopDevice(path.join(folder, 'backing'), 16 * MiB, 0x55)
  const cipher = decodeCipher('aes-xts-plain64', 256)
  await qemuImg.convert({
    source: { path: source, format: 'raw' },
    destination: { path: device.path, format: 'luks', passphraseFile: first, cipher, keyDerivationMs },
    directIo: true,
  })
  const dump = execFileSync(cryptsetup, ['luksDump', device.path], { encoding: 'utf8' })
  expect(dump).toMatch(/Version:\s+1/)
  expect(dump).toMatch(/Cipher name:\s+aes/)
  expect(dump).toMatch(/Cipher mode:\s+xts-plain64/)
  expect(opens(device.path, first)).toBe(true)
  expect(opens(device.path, second)).toBe(false)
  expect(await readIndependently(device.path, first)).toBe(sourceHash)
  const info = await qemuImg.info(device.path, { format: 'luks' })
  expect(info).toMatchObject({ fileFormat: 'luks', encrypted: true })
  expect(info.formatSpecific?.data['cipher-mode']).toBe('xts')
})

test('from one passphrase to another, and to a plain disk', async () => {
  const one = path.join(folder, 'one,json:')
  const two = path.join(folder, 'two')
  const plain = path.join(folder, 'plain')
  const inFirst = { path: one, format: 'luks', passphraseFile: first }
  const inSecond = { path: two, format: 'luks', passphraseFile: second }
  await qemuImg.convert({
    source: { path: source, format: 'raw' },
    destination: { ...inFirst, keyDerivationMs },
  })
  await qemuImg.convert({
    source: inFirst,
    destination: { ...inSecond, cipher: decodeCipher('aes-cbc-plain64', 128), keyDerivationMs },
  })
  expect(opens(two, second)).toBe(true)
  expect(opens(two, first)).toBe(false)
  await qemuImg.convert({ source: inSecond, destination: { path: plain, format: 'raw' } })
  expect(await hashOf(plain, sizeBytes)).toBe(sourceHash)
  expect(await qemuImg.compare(inFirst, inSecond)).toEqual({ identical: true })
  await qemuImg.resize(two, 12 * MiB, inSecond)
  expect((await qemuImg.info(two, { format: 'luks' })).virtualSize).toBe(12 * MiB)
})

test('an encrypted qcow2, there and back', async () => {
  const image = { path: path.join(folder, 'encrypted.qcow2'), format: 'qcow2', passphraseFile: first }
  await qemuImg.convert({
    source: { path: source, format: 'raw' },
    destination: { ...image, keyDerivationMs },
  })
  expect(await qemuImg.info(image.path, { format: 'qcow2' })).toMatchObject({ encrypted: true })
  const plain = { path: path.join(folder, 'decrypted'), format: 'raw' }
  await qemuImg.convert({ source: image, destination: plain })
  expect(await hashOf(plain.path, sizeBytes)).toBe(sourceHash)
  const wrong = qemuImg.convert({ source: { ...image, passphraseFile: second }, destination: plain })
  await expect(wrong).rejects.toThrow(ProcessExecutionError)
})

test('no passphrase ever stood on a command line', () => {
  const words = JSON.stringify(runner.calls)
  expect(words).toContain('first,,key')
  expect(words).not.toMatch(/correct horse|battery staple/)
})

test('an encrypted destination without a passphrase is refused', async () => {
  const destination = { path: path.join(folder, 'none'), format: 'luks' }
  const refused = qemuImg.convert({ source: { path: source, format: 'raw' }, destination })
  await expect(refused).rejects.toThrow(InvalidError)
})
