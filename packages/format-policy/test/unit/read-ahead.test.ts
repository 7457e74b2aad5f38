import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { RandomAccessReader } from '@disk-image/core'
import { inspect } from '@disk-image/format-policy/inspector'
import { buildQcow2 } from '../build/qcow2.ts'
import { inspectBytes } from '../support.ts'

const cluster = 65536
const tables = 12
const firstTable = 32

/** An image whose L2 tables are two clusters apart, behind what is read first. */
function spreadTables(): Uint8Array {
  const size = BigInt(tables) * 8192n * BigInt(cluster)
  const image = new Uint8Array((firstTable + 2 * tables) * cluster)
  image.set(buildQcow2({ l1Size: tables, size }))
  const view = new DataView(image.buffer)
  for (let table = 0; table < tables; table += 1) {
    const place = (firstTable + 2 * table) * cluster
    view.setBigUint64(3 * cluster + 8 * table, (1n << 63n) | BigInt(place))
    view.setBigUint64(place, (1n << 63n) | BigInt(place + cluster))
  }
  return image
}

/** Answers a moment later, and keeps count of the reads that wait. */
class SlowReader implements RandomAccessReader {
  readonly size: number
  readonly #bytes: Uint8Array
  readonly #failAt: number
  readonly offsets: number[] = []
  underWay = 0
  mostUnderWay = 0

  constructor(bytes: Uint8Array, failAt = -1) {
    this.size = bytes.length
    this.#bytes = bytes
    this.#failAt = failAt
  }

  async read(offset: number, length: number, into: Uint8Array = new Uint8Array(length)): Promise<Uint8Array> {
    this.offsets.push(offset)
    this.underWay += 1
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay)
    // The first fails while the others are still under way.
    for (let turn = 0; turn < (offset === this.#failAt ? 1 : 5); turn += 1) await setImmediate()
    this.underWay -= 1
    if (offset === this.#failAt) throw new Error('the disk is gone')
    const found = this.#bytes.subarray(offset, offset + length)
    into.set(found)
    return into.subarray(0, found.length)
  }
}

test('tables are read a few at once, each of them once, into memory that is used again', async () => {
  const image = spreadTables()
  const reader = new SlowReader(image)
  const result = await inspect(reader)
  expect(result).toEqual(inspectBytes(image))
  expect(result).toMatchObject({ format: 'qcow2', safe: true })
  expect(reader.mostUnderWay).toBe(3)
  expect(reader.offsets.filter((offset) => offset >= firstTable * cluster)).toHaveLength(tables + 1)
  expect(new Set(reader.offsets).size).toBe(reader.offsets.length)
})

test('an entry that names nothing is found in the last table as in the first', async () => {
  for (const table of [0, 1, tables - 1]) {
    const image = spreadTables()
    new DataView(image.buffer).setBigUint64((firstTable + 2 * table) * cluster + 8, 1n << 63n)
    const result = await inspect(new SlowReader(image))
    expect(result).toEqual(inspectBytes(image))
    const failed = result.checks.find(({ name }) => name === 'tables')
    expect(failed).toMatchObject({ ok: false, offset: (firstTable + 2 * table) * cluster + 8 })
  }
})

test.each([
  ['the head', 0],
  ['the end', spreadTables().length - 4096],
  ['a table', (firstTable + 4) * cluster],
  ['a table that is read ahead', (firstTable + 6) * cluster],
])('where %s cannot be read, it rejects when no read is under way any more', async (_, offset) => {
  const reader = new SlowReader(spreadTables(), offset)
  await expect(inspect(reader)).rejects.toThrow('the disk is gone')
  expect(reader.underWay).toBe(0)
})

test('after an abort nothing more is read', async () => {
  const reader = new SlowReader(spreadTables())
  const { signal, abort } = abortAt(reader, (firstTable + 4) * cluster)
  await expect(inspect(abort, { signal })).rejects.toThrow('enough')
  expect(reader.underWay).toBe(0)
  expect(Math.max(...reader.offsets.filter((at) => at < reader.size - 4096))).toBeLessThan(
    (firstTable + 10) * cluster,
  )
})

function abortAt(
  reader: SlowReader,
  offset: number,
): { readonly signal: AbortSignal; readonly abort: RandomAccessReader } {
  const controller = new AbortController()
  const abort: RandomAccessReader = {
    size: reader.size,
    read: async (at, length, into) => {
      if (at === offset) controller.abort(new Error('enough'))
      return await reader.read(at, length, into)
    },
  }
  return { signal: controller.signal, abort }
}
