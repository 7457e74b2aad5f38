import { InvalidError } from '@disk-image/core'
import { describe, expect, test } from 'vitest'
import { checkCommand } from './check.ts'
import { compareCommand, parseDifference } from './compare.ts'
import { convertCommand, type LocatedConvertRequest } from './convert.ts'
import { createCommand, resizeCommand } from './create.ts'
import { infoCommand } from './info.ts'
import { mapCommand } from './map.ts'
import { measureCommand } from './measure.ts'
import { snapshotCommand } from './snapshot.ts'

const raw = { path: '/s', format: 'raw', blockDevice: false }
const qcow2 = { path: '/d', format: 'qcow2', blockDevice: false }
const newLuks = { path: '/l', format: 'luks', passphraseFile: '/k', blockDevice: false }
const convert = (request: Partial<LocatedConvertRequest>): readonly string[] =>
  convertCommand({ source: raw, destination: qcow2, ...request }).args

describe('convert', () => {
  test('formats are named, and the result is on the disk at the end', () => {
    expect(convertCommand({ source: raw, destination: qcow2 }, true)).toEqual({
      file: 'qemu-img',
      args: ['convert', '-p', '-f', 'raw', '-O', 'qcow2', '-t', 'writeback', '/s', '/d'],
    })
  })

  test('around the page cache: out of order where there are no tables to scatter', () => {
    const destination = { ...raw, path: '/dev/v', blockDevice: true }
    expect(convert({ destination, directIo: true })).toContain('-W')
    expect(convert({ destination, directIo: true }).join(' ')).toContain('-t none')
    expect(convert({ destination, directIo: true, outOfOrder: false })).not.toContain('-W')
    expect(convert({ directIo: true })).not.toContain('-W')
    expect(convert({ destination })).not.toContain('-W')
  })

  test.each([
    [{ sparse: false }, '-S 0'],
    [{ rateLimitBytesPerSecond: 1_048_576 }, '-r 1048576'],
    [{ parallelism: 16 }, '-m 16'],
    [{ sourceCacheMode: 'none' }, '-T none'],
    [{ cacheMode: 'unsafe' }, '-t unsafe'],
    [{ noCreate: true, targetIsZero: true }, '-n --target-is-zero'],
    [{ source: { ...raw, forceShare: true } }, '-U'],
    [{ source: { ...qcow2, snapshot: 'a,b' } }, '-l snapshot.name=a,,b'],
    [{ destination: { ...qcow2, compression: 'zlib' } }, '-c'],
    [{ destination: { ...qcow2, compression: 'zstd' } }, '-o compression_type=zstd'],
    [{ destination: { ...qcow2, clusterSizeBytes: 4096 } }, '-o cluster_size=4096'],
    [
      { destination: { ...raw, format: 'vpc', subformat: 'fixed', forceSize: true } },
      '-o subformat=fixed,force_size=on',
    ],
    [
      { destination: { ...raw, format: 'vmdk', subformat: 'streamOptimized' } },
      '-o subformat=streamOptimized',
    ],
    [{ destination: { ...newLuks, keyDerivationMs: 20 } }, '-o key-secret=destination,iter-time=20'],
    [
      { destination: { ...raw, format: 'vmdk', subformat: 'monolithicSparse' } },
      '-o subformat=monolithicSparse',
    ],
    [{ destination: { ...raw, format: 'vdi', subformat: 'fixed' } }, '-o static=on'],
    [{ destination: { ...raw, format: 'raw', subformat: 'a,size=1' } }, '-o subformat=a,,size=1'],
  ] as const)('%j adds %s', (request, words) => {
    expect(convert(request).join(' ')).toContain(` ${words} `)
  })

  test('a LUKS destination gets its passphrase from a file', () => {
    const cipher = { cipherAlg: 'aes-256', cipherMode: 'xts', ivgenAlg: 'plain64' }
    const destination = { ...raw, path: '/d', format: 'luks', passphraseFile: '/run/a,b', cipher }
    expect(convert({ destination })).toEqual([
      'convert',
      '--object',
      'secret,id=destination,format=raw,file=/run/a,,b',
      '-f',
      'raw',
      '-O',
      'luks',
      '-o',
      'key-secret=destination,cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64',
      '-t',
      'writeback',
      '/s',
      '/d',
    ])
    expect(convert({ destination: { ...destination, format: 'qcow2' } }).join(' ')).toContain(
      '-o encrypt.format=luks,encrypt.key-secret=destination,encrypt.cipher-alg=aes-256',
    )
  })

  test('LUKS to LUKS: two keys, the source by its driver, no name that could mean anything else', () => {
    const source = { path: '/s,driver=null', format: 'luks', passphraseFile: '/k1', blockDevice: false }
    const destination = { path: '/d', format: 'luks', passphraseFile: '/k2', blockDevice: false }
    const args = convert({ source, destination })
    expect(args).toContain('--image-opts')
    expect(args).not.toContain('-f')
    expect(args.at(-2)).toBe('driver=luks,key-secret=source0,file.driver=file,file.filename=/s,,driver=null')
    expect(args.filter((word) => word.startsWith('secret,'))).toEqual([
      'secret,id=source0,format=raw,file=/k1',
      'secret,id=destination,format=raw,file=/k2',
    ])
    expect(convert({ source: { ...source, blockDevice: true }, destination }).at(-2)).toContain(
      'file.driver=host_device',
    )
    expect(convert({ source, destination, noCreate: true }).slice(-1)).toEqual([
      'driver=luks,key-secret=destination,file.driver=file,file.filename=/d',
    ])
  })

  test.each([
    ['a format that is left out', { source: { ...raw, format: '' } }],
    ['a protocol as a format', { source: { ...raw, format: 'nbd' } }],
    ["Glance's name of a format", { destination: { ...raw, format: 'vhd' } }],
    ['a relative path', { source: { ...raw, path: 's' } }],
    ['an option as a path', { destination: { ...raw, path: '-o' } }],
    ['a protocol as a path', { source: { ...raw, path: 'json:{}' } }],
    ['zeros on a target that is made', { targetIsZero: true }],
    ['a compression that the format has not', { destination: { ...raw, compression: 'zlib' } }],
    ['zstd in a vmdk', { destination: { ...raw, format: 'vmdk', compression: 'zstd' } }],
    ['LUKS without a passphrase', { destination: { ...raw, format: 'luks' } }],
    ['a passphrase for what has none', { source: { ...raw, passphraseFile: '/k' } }],
    ['a relative passphrase file', { source: { ...raw, format: 'luks', passphraseFile: 'k' } }],
    ['force_size of a qcow2', { destination: { ...qcow2, forceSize: true } }],
    ['17 requests at once', { parallelism: 17 }],
    ['no time for the key', { destination: { ...newLuks, keyDerivationMs: 0 } }],
    ['half a millisecond for the key', { destination: { ...newLuks, keyDerivationMs: 0.5 } }],
    ['an hour for the key', { destination: { ...newLuks, keyDerivationMs: 3_600_000 } }],
    ['a rate of nothing', { rateLimitBytesPerSecond: 0 }],
  ] as const)('%s is refused', (_, request) => {
    expect(() => convert(request)).toThrow(InvalidError)
  })
})

const luks = { path: '/l', format: 'luks', passphraseFile: '/k', blockDevice: false }
const luksWords = 'driver=luks,key-secret=source0,file.driver=file,file.filename=/l'

test.each([
  [infoCommand(qcow2), 'info -f qcow2 --output=json /d'],
  [infoCommand(qcow2, true), 'info -f qcow2 --output=json --force-share /d'],
  [checkCommand(qcow2, { repair: 'leaks' }), 'check -f qcow2 --output=json -r leaks /d'],
  [compareCommand(raw, qcow2, { strict: true }), 'compare -f raw -F qcow2 -s /s /d'],
  [
    compareCommand(raw, luks),
    `compare --object secret,id=source1,format=raw,file=/k --image-opts driver=raw,file.driver=file,file.filename=/s ${luksWords.replace('source0', 'source1')}`,
  ],
  [createCommand(qcow2, 1024), 'create -q -f qcow2 /d 1024'],
  [createCommand(qcow2, 1024, raw), 'create -q -f qcow2 -b /s -F raw /d 1024'],
  [
    mapCommand(qcow2, { startOffset: 512, maxLength: 1024 }),
    'map -f qcow2 --output=json --start-offset=512 --max-length=1024 /d',
  ],
  [measureCommand(raw, { format: 'qcow2' }), 'measure --output=json -O qcow2 -f raw /s'],
  [
    measureCommand({ sizeBytes: 10 }, { format: 'qcow2', clusterSizeBytes: 512 }),
    'measure --output=json -O qcow2 -o cluster_size=512 --size 10',
  ],
  [resizeCommand(qcow2, 2048, true), 'resize -f qcow2 -q --shrink /d 2048'],
  [
    resizeCommand(luks, 2048),
    `resize --object secret,id=source0,format=raw,file=/k --image-opts -q ${luksWords} 2048`,
  ],
  [
    snapshotCommand(qcow2, 'create', '-a'),
    'snapshot --image-opts -q -c -a driver=qcow2,file.driver=file,file.filename=/d',
  ],
])('%j', ({ args }, words) => {
  expect(args.join(' ')).toBe(words)
})

test.each([1.5, -1, Number.NaN, 2 ** 53, '5' as unknown as number])('a size of %s is refused', (size) => {
  expect(() => resizeCommand(qcow2, size)).toThrow(InvalidError)
  expect(() => createCommand(qcow2, size)).toThrow(InvalidError)
})

test.each(['', 'a\0', 'x'.repeat(256)])('a snapshot named %j is refused', (name) => {
  expect(() => snapshotCommand(qcow2, 'apply', name)).toThrow(InvalidError)
})

test('a difference, as it is printed', () => {
  expect(parseDifference('    (0.00/100%)\rContent mismatch at offset 65536!\n')).toEqual({
    reason: 'Content mismatch at offset 65536!',
    offset: 65_536,
  })
  expect(parseDifference('Strict mode: Image size mismatch!\n')?.offset).toBeUndefined()
  expect(parseDifference('bwrap: no such file')).toBeUndefined()
})
