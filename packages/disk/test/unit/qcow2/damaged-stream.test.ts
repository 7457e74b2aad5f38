import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { Qcow2DecodeError } from '@disk-image/disk/qcow2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildImage, compressedEntry } from './build-image.ts'
import { decodeStreamed, decodeWhole, pace, paces, type Outcome } from './decode-both.ts'
import { at, cluster, distinct, farData, neighbours, packed, refusals, tableOf } from './sample-images.ts'
import type { Refusal } from './sample-images.ts'

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-qcow2-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))
const inDirectory = (name: string): string => path.join(directory, name)

const streamOf = (bytes: Uint8Array, name: string): Promise<Outcome> =>
  decodeStreamed(inDirectory('stream.qcow2'), bytes, pace(name, bytes))

const deflated = deflateRawSync(cluster(4))

/** Damage of what comes late, where a cluster may have been on its way already. */
const lateRefusals: readonly Refusal[] = [
  ['qcow2-cluster-used-twice', { l2: [at(130), at(130)], data: farData(distinct(1)) }],
  ['qcow2-cluster-used-twice', { l2: [...neighbours(130, 4), at(132)], data: farData(distinct(4)) }],
  ['qcow2-cluster-used-twice', { l2: [at(130), at(130) | 1n], data: farData(distinct(1)) }],
  [
    'qcow2-cluster-used-twice',
    {
      l2: [at(130), compressedEntry(130 * 512, deflated.byteLength, 9)],
      data: farData([packed(0, deflated)]),
    },
  ],
  [
    'qcow2-cluster-used-twice',
    {
      l2: [at(131), compressedEntry(131 * 512 - 5, deflated.byteLength, 9)],
      data: farData(distinct(3)),
    },
  ],
  // A table in a cluster of data, alone and amid neighbours; one that names itself; one that is named twice.
  ...[[at(131)], neighbours(130, 4), [at(140), at(131)]].map((l2): Refusal => [
    'qcow2-cluster-used-twice',
    {
      virtualSizeBytes: 65_536,
      l1: [at(4), at(131)],
      l2,
      data: farData([cluster(1), cluster(0), ...distinct(9)]),
    },
  ]),
  ['qcow2-cluster-used-twice', { l1: [at(130)], data: farData([tableOf([at(130)])]) }],
  [
    'qcow2-cluster-used-twice',
    { virtualSizeBytes: 65_536, l1: [at(130), at(130)], data: farData([tableOf([]), cluster(0)]) },
  ],
  // Tables of which only the place is checked, in data: refcount table and block, snapshots and their L1.
  ['qcow2-cluster-used-twice', { l2: [at(130)], data: farData([cluster(0)]), patches: [word(50, 130)] }],
  ['qcow2-cluster-used-twice', { l2: [at(131)], data: farData(distinct(2)), patches: [word(514, 131)] }],
  [
    'qcow2-cluster-used-twice',
    {
      l2: [at(130)],
      data: farData([cluster(0)]),
      patches: [word(66, 130), { offset: 63, bytes: Uint8Array.of(1) }],
    },
  ],
  [
    'qcow2-cluster-used-twice',
    {
      l2: [at(131)],
      data: farData([packedSnapshot(131), ...distinct(1)]),
      patches: [word(66, 130), { offset: 63, bytes: Uint8Array.of(1) }],
    },
  ],
  ['qcow2-cluster-outside-file', { l2: [at(131)], data: farData(distinct(1)) }],
  ['qcow2-cluster-outside-file', { l2: neighbours(130, 3), data: farData(distinct(2)) }],
  ['qcow2-cluster-outside-file', { l2: [at(2 ** 30)], data: farData(distinct(2)) }],
  ['qcow2-table-outside-file', { l1: [at(131)], data: farData(distinct(1)) }],
  ['qcow2-entry-reserved-bits', { l1: [at(130)], data: farData([tableOf([at(131) | 2n]), cluster(0)]) }],
]

/** Six bytes from the third on of an offset, which is that of a cluster. */
function word(offset: number, index: number): { offset: number; bytes: Uint8Array } {
  const bytes = new Uint8Array(6)
  new DataView(bytes.buffer).setUint32(2, index * 512)
  return { offset, bytes }
}

/** A snapshot table of one snapshot, whose L1 table lies in that cluster. */
function packedSnapshot(index: number): Uint8Array {
  const bytes = cluster(0)
  new DataView(bytes.buffer).setUint32(4, index * 512)
  new DataView(bytes.buffer).setUint32(8, 1)
  return bytes
}

describe('a damaged image', () => {
  test.for(refusals.flatMap((refusal) => ['7', '512', 'whole'].map((steps) => [steps, ...refusal] as const)))(
    'in chunks of %s is refused as a file is, by %s: %o',
    async ([steps, rule, parts]) => {
      const refused = await streamOf(buildImage(parts), steps)
      expect(refused).toBeInstanceOf(Qcow2DecodeError)
      expect(refused).toMatchObject({ code: 'QCOW2_DECODE', kind: 'refused', rule })
    },
  )

  test.for(
    lateRefusals.flatMap((refusal) =>
      ['1', '512', '300', 'whole'].map((steps) => [steps, ...refusal] as const),
    ),
  )('in chunks of %s is refused at once or at its end, by %s: %o', async ([steps, rule, parts]) => {
    const bytes = buildImage(parts)
    expect(await decodeWhole(inDirectory('whole.qcow2'), bytes)).toMatchObject({ rule })
    expect(await streamOf(bytes, steps)).toMatchObject({ rule })
  })

  test.for(paces)('that ends too early is refused, in chunks of %s', async (steps) => {
    const bytes = buildImage({ l2: neighbours(130, 8), data: farData(distinct(8)) })
    for (const length of [0, 71, 100, 1000, 65_536, 131 * 512, 137 * 512]) {
      const cut = bytes.slice(0, length)
      expect(await decodeWhole(inDirectory('whole.qcow2'), cut)).toBeInstanceOf(Qcow2DecodeError)
      expect(await streamOf(cut, steps), `at ${length}`).toBeInstanceOf(Qcow2DecodeError)
    }
  })
})
