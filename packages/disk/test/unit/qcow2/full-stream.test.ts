import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Qcow2DecodeError } from '@disk-image/disk/qcow2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { waitingExtents } from '../../../src/qcow2/image-map.ts'
import { buildImage } from './build-image.ts'
import { decodeStreamed } from './decode-both.ts'

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-qcow2-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

const clusterSize = 2048
const perTable = clusterSize / 8
/** More clusters, none beside its neighbour, than may wait; all tables come before. */
const tableCount = Math.ceil(waitingExtents / perTable) + 6
const clusterCount = tableCount * perTable
const firstData = 5 + tableCount

/** @param orderOf guest clusters in the order in which the file has them */
function scatteredImage(orderOf: (place: number) => number): Uint8Array {
  const tables = new Uint8Array(clusterCount * 8)
  const view = new DataView(tables.buffer)
  const data: Uint8Array[] = []
  for (let place = 0; place < clusterCount; place += 1) {
    const guest = orderOf(place)
    view.setBigUint64(guest * 8, BigInt((firstData + place) * clusterSize))
    data.push(new Uint8Array(clusterSize).fill(1 + (guest % 255)))
  }
  const tableClusters = Array.from({ length: tableCount }, (_, index) =>
    tables.subarray(index * clusterSize, (index + 1) * clusterSize),
  )
  return buildImage({
    clusterBits: 11,
    virtualSizeBytes: clusterCount * clusterSize,
    l1: tableClusters.map((_, index) => BigInt((5 + index) * clusterSize)),
    data: [...tableClusters, ...data],
  })
}

const orders: readonly (readonly [name: string, orderOf: (place: number) => number])[] = [
  ['from its end', (place) => clusterCount - 1 - place],
  ['in swapped pairs', (place) => place ^ 1],
  ['from table to table', (place) => (place % tableCount) * perTable + Math.floor(place / tableCount)],
]

test.for(orders)('more clusters than may wait are all decoded: %s', async ([, orderOf]) => {
  const bytes = scatteredImage(orderOf)
  const file = path.join(directory, 'stream.qcow2')
  const outcome = await decodeStreamed(file, bytes, { step: () => 150_001 })
  if (outcome instanceof Qcow2DecodeError) throw outcome
  expect(outcome.clusters.normal).toBe(clusterCount)
  const wrong = outcome.raw.findIndex((byte, place) => byte !== 1 + (Math.floor(place / clusterSize) % 255))
  expect(wrong).toBe(-1)
})

test('where the rest of them never comes, it ends', async () => {
  const bytes = scatteredImage((place) => clusterCount - 1 - place)
  const file = path.join(directory, 'stream.qcow2')
  for (const length of [firstData * clusterSize, (firstData + 100) * clusterSize - 1]) {
    const outcome = await decodeStreamed(file, bytes.slice(0, length), { step: () => 150_001 })
    expect(outcome).toMatchObject({ rule: 'qcow2-cluster-outside-file' })
  }
})
