import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { diskOf } from './destination-identity.ts'

/** A device as the kernel numbers it for programs: 12 bits of major and 20 of minor, taken apart. */
function numberOf(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)]
  return (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n)
}

test('partitions and mappings of one disk are that disk; what lies over several is itself', async () => {
  const sysfs = await mkdtemp(path.join(tmpdir(), 'disk-image-sysfs-'))
  try {
    const add = async (device: string, folder: string, files: readonly string[] = []): Promise<void> => {
      await mkdir(path.join(sysfs, 'devices', folder, 'slaves'), { recursive: true })
      await mkdir(path.join(sysfs, 'dev/block'), { recursive: true })
      await writeFile(path.join(sysfs, 'devices', folder, 'dev'), `${device}\n`)
      for (const file of files) await writeFile(path.join(sysfs, 'devices', folder, file), '1\n')
      await symlink(`../../devices/${folder}`, path.join(sysfs, 'dev/block', device))
    }
    const over = (mapping: string, below: string): Promise<void> =>
      symlink(
        path.join(sysfs, 'devices', below),
        path.join(sysfs, 'devices', mapping, 'slaves', path.basename(below)),
      )
    await add('8:0', 'sda')
    await add('8:1', 'sda/sda1', ['partition'])
    await add('8:16', 'sdb')
    await add('253:0', 'dm-0')
    await over('dm-0', 'sda/sda1')
    await add('253:1', 'dm-1')
    await over('dm-1', 'dm-0')
    await add('253:300', 'dm-300')
    await over('dm-300', 'sda')
    await over('dm-300', 'sdb')
    await add('253:5', 'dm-5')
    await over('dm-5', 'dm-5')
    expect(await diskOf(numberOf(8, 0), sysfs)).toBe('8:0')
    expect(await diskOf(numberOf(8, 1), sysfs)).toBe('8:0')
    expect(await diskOf(numberOf(253, 1), sysfs)).toBe('8:0')
    expect(await diskOf(numberOf(253, 300), sysfs)).toBe('253:300')
    // No device of the kernel's, and a loop, which it never makes.
    expect(await diskOf(numberOf(0, 27), sysfs)).toBe('0:27')
    expect(await diskOf(numberOf(253, 5), sysfs)).toBe('253:5')
  } finally {
    await rm(sysfs, { recursive: true, force: true })
  }
})
