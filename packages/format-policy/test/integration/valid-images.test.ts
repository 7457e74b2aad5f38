import { copyFile, open, stat } from 'node:fs/promises'
import path from 'node:path'
import { makeEncryptedImage } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { inspectFile, run, streamFile, temporaryDirectory } from '../support.ts'

/** Every kind of image that qemu-img makes, with data in it, must be safe and have qemu-img's size. */
const recipes: readonly (readonly [name: string, format: string, options: string, size?: string])[] = [
  ...[512, 2048, 4096, 65536, 2097152].map(
    (bytes) => [`qcow2 cluster ${bytes}`, 'qcow2', `cluster_size=${bytes}`] as const,
  ),
  ['qcow2 v2', 'qcow2', 'compat=0.10'],
  ['qcow2 zstd', 'qcow2', 'compression_type=zstd'],
  ['qcow2 lazy', 'qcow2', 'lazy_refcounts=on'],
  ['qcow2 extended', 'qcow2', 'extended_l2=on,cluster_size=128k'],
  ['qcow2 extended small', 'qcow2', 'extended_l2=on,cluster_size=16k'],
  ['qcow2 refcount 64', 'qcow2', 'refcount_bits=64'],
  ['qcow2 refcount 1', 'qcow2', 'refcount_bits=1'],
  ['qcow2 metadata', 'qcow2', 'preallocation=metadata'],
  ['qcow2 falloc', 'qcow2', 'preallocation=falloc'],
  ['qcow2 full', 'qcow2', 'preallocation=full'],
  ['qcow2 odd size', 'qcow2', '', '5243392'],
  ['qcow2 large', 'qcow2', '', '300G'],
  ['vmdk sparse', 'vmdk', ''],
  ['vmdk stream', 'vmdk', 'subformat=streamOptimized'],
  ['vmdk compat6', 'vmdk', 'compat6=on'],
  ['vmdk scsi', 'vmdk', 'adapter_type=lsilogic,hwversion=13'],
  ['vmdk zeroed', 'vmdk', 'zeroed_grain=on'],
  ['vmdk odd size', 'vmdk', '', '5243392'],
  ['vmdk large', 'vmdk', '', '40G'],
  ['vhd dynamic', 'vpc', ''],
  ['vhd dynamic forced', 'vpc', 'force_size=on'],
  ['vhd fixed', 'vpc', 'subformat=fixed'],
  ['vhd fixed forced', 'vpc', 'subformat=fixed,force_size=on'],
  ['vhd odd size', 'vpc', 'force_size=on', '5243392'],
  ['vhd large', 'vpc', '', '200G'],
  ['vhdx dynamic', 'vhdx', ''],
  ['vhdx fixed', 'vhdx', 'subformat=fixed'],
  ['vhdx small blocks', 'vhdx', 'block_size=1M,log_size=2M'],
  ['vhdx odd size', 'vhdx', 'block_size=1M', '5243392'],
  ['vhdx large', 'vhdx', '', '2T'],
  ['vdi dynamic', 'vdi', ''],
  ['vdi static', 'vdi', 'static=on'],
  ['vdi odd size', 'vdi', '', '5243392'],
  ['vdi large', 'vdi', '', '500G'],
  ['parallels', 'parallels', ''],
  ['parallels small clusters', 'parallels', 'cluster_size=64k'],
  ['raw', 'raw', ''],
]

const secret = ['--object', 'secret,id=s,data=abc123']
const ours: Readonly<Record<string, string>> = { vpc: 'vhd' }
let directory: Awaited<ReturnType<typeof temporaryDirectory>>

beforeAll(async () => {
  directory = await temporaryDirectory()
})
afterAll(() => directory[Symbol.asyncDispose]())

const place = (name: string): string => path.join(directory.path, name.replaceAll(' ', '-'))

async function expectSafe(file: string, format: string): Promise<void> {
  const result = await inspectFile(file)
  expect(result.checks.filter((check) => !check.ok)).toEqual([])
  expect(result.format).toBe(ours[format] ?? format)
  expect(streamFile(file, 70_001)).toEqual(result)
  const { stdout } = await run('qemu-img', ['info', '-f', format, '--output=json', file])
  const info = JSON.parse(stdout) as { readonly 'virtual-size': number }
  // qemu-img rounds a raw file up to whole sectors.
  expect(Math.ceil((result.virtualSizeBytes ?? -1) / 512) * 512).toBe(info['virtual-size'])
}

async function make(file: string, format: string, options: string, size = '9M'): Promise<void> {
  const more = options === '' ? [] : ['-o', options]
  await run('qemu-img', ['create', '-q', '-f', format, ...more, file, size])
}

async function fill(file: string, format: string, commands: readonly string[]): Promise<void> {
  await run('qemu-io', ['-f', format, ...commands.flatMap((command) => ['-c', command]), file])
}

const writes = ['write -P 7 0 64k', 'write -P 8 1M 300k', 'write -P 9 4M 1000k', 'write -P 5 5242880 512']

describe('what qemu-img makes is safe', () => {
  const complete = recipes.map(
    ([name, format, options, size = '9M']) => [name, format, options, size] as const,
  )
  test.each(complete)('%s', async (name, format, options, size) => {
    const file = place(name)
    await make(file, format, options, size)
    await expectSafe(file, format)
    // A streamOptimized image takes every grain only once.
    if (options.includes('streamOptimized')) return
    await fill(file, format, writes)
    await expectSafe(file, format)
  })

  test.each([
    ['qcow2', ''],
    ['qcow2', 'compression_type=zstd'],
    ['qcow2', 'cluster_size=2k'],
    ['vmdk', 'subformat=streamOptimized'],
  ])('converted and compressed: %s %s', async (format, options) => {
    const source = place(`compressed-source-${format}-${options}`)
    await make(source, 'raw', '')
    await fill(source, 'raw', writes)
    const file = place(`compressed-${format}-${options}`)
    const compress = format === 'qcow2' ? ['-c'] : []
    const more = options === '' ? [] : ['-o', options]
    await run('qemu-img', ['convert', '-f', 'raw', '-O', format, ...compress, ...more, source, file])
    await expectSafe(file, format)
  })

  test('qcow2 with snapshots, bitmaps, discards, growth, shrinking and repair', async () => {
    const file = place('lived')
    await make(file, 'qcow2', 'cluster_size=4k', '64M')
    await fill(file, 'qcow2', ['write -P 7 0 3M', 'write -P 8 40M 1M'])
    await run('qemu-img', ['snapshot', '-c', 'first', file])
    await fill(file, 'qcow2', [
      'write -P 9 1M 1M',
      'discard 0 512k',
      'write -z 41M 64k',
      'write -z -u 2M 64k',
    ])
    await expectSafe(file, 'qcow2')
    await run('qemu-img', ['snapshot', '-c', 'second', file])
    await run('qemu-img', ['snapshot', '-a', 'first', file])
    await expectSafe(file, 'qcow2')
    expect((await inspectFile(file)).details.internalSnapshots).toBe(2)
    await run('qemu-img', ['bitmap', '--add', file, 'map'])
    await expectSafe(file, 'qcow2')
    expect((await inspectFile(file)).details.bitmaps).toBe(1)
    await run('qemu-img', ['bitmap', '--remove', file, 'map'])
    await run('qemu-img', ['snapshot', '-d', 'first', file])
    await run('qemu-img', ['snapshot', '-d', 'second', file])
    await run('qemu-img', ['resize', '-f', 'qcow2', file, '2G'])
    await fill(file, 'qcow2', ['write -P 3 1900M 1M'])
    await expectSafe(file, 'qcow2')
    await run('qemu-img', ['resize', '-f', 'qcow2', '--shrink', file, '20M'])
    await run('qemu-img', ['amend', '-f', 'qcow2', '-o', 'compat=0.10', file])
    await run('qemu-img', ['check', '-q', '-f', 'qcow2', '-r', 'all', file])
    await expectSafe(file, 'qcow2')
  })

  test('qcow2 after rebase to no backing file, and after commit', async () => {
    const base = place('base')
    const file = place('overlay')
    await make(base, 'qcow2', '')
    await fill(base, 'qcow2', writes)
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', file])
    expect((await inspectFile(file)).safe).toBe(false)
    await fill(file, 'qcow2', ['write -P 1 2M 64k'])
    await run('qemu-img', ['commit', '-q', '-f', 'qcow2', file])
    await expectSafe(base, 'qcow2')
    await run('qemu-img', ['rebase', '-f', 'qcow2', '-b', '', file])
    await expectSafe(file, 'qcow2')
  })

  test.each([
    ['qcow2', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=100', 'luks'],
    ['qcow2', 'encrypt.format=aes,encrypt.key-secret=s', 'aes'],
    ['luks', 'key-secret=s,iter-time=100', 'luks'],
  ])('encrypted: %s %s', async (format, options, encryption) => {
    const file = place(`encrypted-${format}-${encryption}`)
    await makeEncryptedImage(['create', '-q', '-f', format, ...secret, '-o', options, file, '4M'])
    await expectSafe(file, format)
    expect((await inspectFile(file)).details.encryption).toBe(encryption)
  })

  test('LUKS 1 by cryptsetup', async () => {
    const file = place('cryptsetup')
    const key = place('key')
    await copyFile(path.join(import.meta.dirname, '../../package.json'), key)
    const handle = await open(file, 'w')
    await handle.truncate(4 * 1024 ** 2)
    await handle.close()
    const fast = ['--pbkdf-force-iterations', '1000', '--key-file', key]
    await run('cryptsetup', ['luksFormat', '-q', '--type', 'luks1', ...fast, file])
    await expectSafe(file, 'luks')
  })

  test('a VMDK whose file name is not ASCII', async () => {
    const file = place('größe.vmdk')
    await make(file, 'vmdk', '')
    await expectSafe(file, 'vmdk')
  })

  test('raw files of a few bytes', async () => {
    for (const bytes of [0, 1, 511, 512, 513, 1024]) {
      const file = place(`raw-${bytes}`)
      const handle = await open(file, 'w')
      await handle.truncate(bytes)
      await handle.close()
      const result = await inspectFile(file)
      expect(result).toMatchObject({ format: 'raw', safe: true, virtualSizeBytes: bytes })
      expect((await stat(file)).size).toBe(result.fileSizeBytes)
    }
  })
})
