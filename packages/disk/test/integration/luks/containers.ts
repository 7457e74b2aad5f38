import { execFile } from 'node:child_process'
import { copyFile, open, truncate, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { makeEncryptedImage, requireTool } from '@disk-image/testing'

const run = promisify(execFile)
const mib = 1024 ** 2

/** Cheap derivations: they are not what is tested. */
export const cheap = {
  pbkdf2: ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'],
  argon2i: ['--pbkdf', 'argon2i', '--pbkdf-memory', '4096', '--pbkdf-parallel', '2'],
  argon2id: ['--pbkdf', 'argon2id', '--pbkdf-memory', '4096', '--pbkdf-parallel', '4'],
} as const

/** A file of random bytes with stretches of zeros. */
export async function makeDisk(file: string, megabytes: number, bytes: Uint8Array): Promise<void> {
  await writeFile(file, '')
  await truncate(file, megabytes * mib)
  const handle = await open(file, 'r+')
  await handle.write(bytes, 0, bytes.length, 0)
  await handle.write(bytes, 0, 4096, megabytes * mib - 4096)
  await handle.close()
}

/** Runs cryptsetup, which asks nothing. */
export async function cryptsetup(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(requireTool('cryptsetup'), ['--batch-mode', ...args], { timeout: 120_000 })
  return stdout
}

/** A LUKS 1 container as cryptsetup makes it, with a disk that qemu's driver writes into it. */
export async function makeLuks1(
  file: string,
  disk: string,
  megabytes: number,
  key: string,
  options: readonly string[],
): Promise<void> {
  await writeFile(file, '')
  await truncate(file, (megabytes + 4) * mib)
  const iterations = ['--pbkdf-force-iterations', '1000']
  await cryptsetup('luksFormat', '--type', 'luks1', ...options, ...iterations, '--key-file', key, file)
  await fillLuks1(file, disk, key)
}

/** A LUKS 1 container as qemu-img makes it. */
export async function makeByQemu(file: string, disk: string, key: string, options: string): Promise<void> {
  const secret = ['--object', `secret,id=s,file=${key}`]
  const all = `${options}key-secret=s,iter-time=10`
  await makeEncryptedImage(['convert', '-f', 'raw', '-O', 'luks', ...secret, '-o', all, disk, file])
}

async function fillLuks1(file: string, disk: string, key: string): Promise<void> {
  const secret = ['--object', `secret,id=s,file=${key}`]
  const target = `driver=luks,key-secret=s,file.filename=${file}`
  const from = ['convert', '-n', '-f', 'raw', ...secret, '--target-image-opts', disk]
  await run(requireTool('qemu-img'), [...from, target])
}

/** A LUKS 2 container that cryptsetup makes of a disk and encrypts by itself, without the kernel's device mapper. */
export async function makeLuks2(
  file: string,
  disk: string,
  megabytes: number,
  key: string,
  options: readonly string[],
): Promise<void> {
  await copyFile(disk, file)
  // The data moves up by half of what the disk loses.
  await truncate(file, (megabytes + 32) * mib)
  const kind = ['--encrypt', '--type', 'luks2', '--reduce-device-size', '32M']
  await cryptsetup('reencrypt', ...kind, ...options, '--key-file', key, file)
}

/** A qcow2 that qemu-img encrypts with LUKS. */
export async function makeQcow2(file: string, disk: string, key: string, options = ''): Promise<void> {
  const secret = ['--object', `secret,id=s,file=${key}`]
  const all = `encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10${options}`
  await makeEncryptedImage(['convert', '-f', 'raw', '-O', 'qcow2', ...secret, '-o', all, disk, file])
}
