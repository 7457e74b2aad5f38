import { gzipSync } from 'node:zlib'
import { Bytes, latin1, noise } from './bytes.ts'
import { bootRecord, buildVhd } from './others.ts'
import { buildQcow2 } from './qcow2.ts'
import { buildLuks, named, type Seed, seeds } from './seeds.ts'
import { buildVmdk, descriptor } from './vmdk.ts'

const luksExtension = [0x0537be77, '\0\0\0\0\0\x06\0\0\0\0\0\0\0\0\x10\0'] as const
const names = [0x6803f857, '\0\0dirty bit'.padEnd(48, '\0')] as const

/** An entry of a snapshot table with 16 bytes of extra data; names of up to 16 bytes make it 72 bytes long. */
function snapshot(id: string, name: string): Uint8Array {
  const bytes = new Bytes(72).be(0, 458752, 8).be(8, 1, 4).be(12, id.length, 2).be(14, name.length, 2)
  return bytes
    .be(36, 16, 4)
    .be(48, 1048576, 8)
    .put(56, id + name)
    .end()
    .subarray(0, 56 + Math.ceil((id + name).length / 8) * 8)
}

function qcow2s(): Omit<Seed, 'format'>[] {
  const interesting = [
    [393216, 393344],
    [0, 200],
    [196608, 196624],
    [262144, 262160],
  ] as const
  const images: Readonly<Record<string, Uint8Array>> = {
    'qcow2-version-2': buildQcow2({ version: 2, extensions: [names] }),
    'qcow2-extended-l2': buildQcow2({ incompatible: 16n, l2: [(1n << 63n) | 327680n, 0xffffffffn] }),
    'qcow2-compressed': buildQcow2({
      incompatible: 8n,
      compressionType: 1,
      l2: [(1n << 62n) | 327680n, (1n << 62n) | 329000n, 1n],
    }),
    'qcow2-snapshot': new Bytes(8 * 65536)
      .put(0, buildQcow2({ snapshots: 2, snapshotsOffset: 393216n, extensions: [names] }))
      .put(393216, snapshot('1', 'first'))
      .put(393216 + 64, snapshot('2', 'second'))
      .end(),
    'qcow2-encrypted': new Bytes(8 * 65536)
      .put(0, buildQcow2({ cryptMethod: 2, extensions: [luksExtension] }))
      .put(393216, buildLuks().subarray(0, 592))
      .end(),
    'qcow2-backed': buildQcow2({ backingFile: 'base.qcow2', extensions: [[0xe2792aca, 'qcow2']] }),
    'qcow2-data-file': buildQcow2({ incompatible: 4n, extensions: [[0x44415441, 'data']] }),
  }
  return Object.entries(images).map(([name, bytes]) => ({ name, bytes, interesting }))
}

function outdated(): Omit<Seed, 'format'>[] {
  const cowd = new Bytes(4096).put(0, 'COWD').le(4, 1, 4).le(8, 3, 4).le(12, 2048, 4).le(16, 1, 4).end()
  const qcow = new Bytes(8192).put(0, 'QFI\xfb').be(4, 1, 4).be(8, 64, 8).be(16, 4, 4).be(24, 1048576, 8)
  qcow.put(32, [12, 9]).be(40, 4096, 8).put(64, 'base')
  const qed = new Bytes(8192).put(0, 'QED\0').le(4, 65536, 4).le(8, 4, 4).le(12, 1, 4).le(16, 1, 8)
  qed.le(40, 65536, 8).le(48, 1048576, 8).le(56, 64, 4).le(60, 4, 4).put(64, 'base')
  const dmg = new Bytes(4096).put(3584, 'koly').be(3588, 4, 4).be(3592, 512, 4).end()
  return [
    { name: 'vmdk-cowd', bytes: cowd, interesting: [[0, 32]] },
    { name: 'qcow-backed', bytes: qcow.end(), interesting: [[0, 80]] },
    { name: 'qed-backed', bytes: qed.end(), interesting: [[0, 80]] },
    { name: 'bochs', bytes: new Bytes(4096).put(0, 'Bochs Virtual HD Image').end(), interesting: [[0, 64]] },
    { name: 'dmg', bytes: dmg, interesting: [[3584, 3600]] },
  ]
}

function archives(): Omit<Seed, 'format'>[] {
  const tar = (name: string): Uint8Array => {
    const bytes = new Bytes(10240)
      .put(0, name)
      .put(124, '00000000000\0')
      .put(148, '        ')
      .put(257, 'ustar\0')
    const sum = bytes.end().reduce((total, byte) => total + byte, 0)
    return bytes.put(148, `${sum.toString(8).padStart(6, '0')}\0 `).end()
  }
  const xz = latin1('\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46')
  const start = [[0, 264]] as const
  return [
    { name: 'gzip', bytes: new Uint8Array(gzipSync(noise(3000))), interesting: [[0, 10]] },
    { name: 'tar', bytes: tar('disk.img'), interesting: start },
    { name: 'ova', bytes: tar('machine.ovf'), interesting: start },
    {
      name: 'zip',
      bytes: new Bytes(4096).put(0, 'PK\x03\x04\x14').put(30, noise(3000)).end(),
      interesting: start,
    },
    { name: 'xz', bytes: new Bytes(4096).put(0, xz).end(), interesting: [[0, 16]] },
  ]
}

function rawDisks(): Omit<Seed, 'format'>[] {
  const gpt = new Bytes(65536)
    .put(0, bootRecord(0xee))
    .put(512, 'EFI PART\0\0\x01\0\x5c\0\0\0')
    .le(536, 1, 8)
    .end()
  const fat = new Bytes(65536)
    .put(0, '\xeb\x3c\x90mkfs.fat')
    .le(11, 512, 2)
    .put(13, [4])
    .le(14, 4, 2)
    .put(16, [2])
  fat.put(21, [0xf8]).put(510, [0x55, 0xaa])
  const ext = new Bytes(65536).le(1024, 64, 4).le(1080, 0xef53, 2).le(1116, 4, 4).le(1120, 0x40, 4).end()
  const udf = new Bytes(65536).put(32769, 'BEA01\x01').put(34817, 'NSR02\x01').put(36865, 'TEA01\x01').end()
  return [
    { name: 'raw-gpt', bytes: gpt, interesting: [[440, 620]] },
    { name: 'raw-fat', bytes: fat.end(), interesting: [[0, 64]] },
    { name: 'raw-ext4', bytes: ext, interesting: [[1024, 1128]] },
    {
      name: 'iso-udf',
      bytes: udf,
      interesting: [
        [32768, 32780],
        [34816, 34830],
      ],
    },
  ]
}

function variants(): Omit<Seed, 'format'>[] {
  const parent = buildVhd(4, 1048576n, 'parent.vhd')
  const luks2 = new Bytes(32768).put(0, 'LUKS\xba\xbe\0\x02').be(8, 16384, 8).be(16, 1, 8).put(72, 'sha256')
  luks2.put(4096, '{"keyslots":{},"segments":{}}').put(16384, 'SKUL\xba\xbe\0\x02')
  const parentText = descriptor('monolithicSparse', undefined, ['parentFileNameHint="/x"'])
  return [
    {
      name: 'vhd-differencing',
      bytes: parent,
      interesting: [
        [0, 90],
        [512, 700],
      ],
    },
    { name: 'luks-version-2', bytes: luks2.end(), interesting: [[0, 200]] },
    {
      name: 'vmdk-parent',
      bytes: buildVmdk(parentText),
      interesting: [
        [0, 80],
        [512, 900],
      ],
    },
  ]
}

/** What `seeds` has, and other kinds of each format, safe or not, and what is no disk image. */
export function allSeeds(): readonly Seed[] {
  return [...seeds(), ...named([...qcow2s(), ...outdated(), ...archives(), ...rawDisks(), ...variants()])]
}
