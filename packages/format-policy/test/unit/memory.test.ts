import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { hostileImages } from '../memory/hostile-images.ts'

const most = 2 * 1024 ** 2
/** V8 prints tenths of a MB; what the measuring itself keeps is less than that. */
const traceStep = 0.1 * 1024 ** 2

interface Kept {
  readonly stream: number
  readonly reading: number
  /** The most that was alive on the heap at any time. */
  readonly heap: number
}

/** What was alive after every collection that V8 printed between two marks, above the first. */
function heapPeak(lines: readonly string[]): number {
  const sizes = lines.flatMap((line) => / -> (\d+\.\d) \(/.exec(line)?.[1] ?? []).map(Number)
  return Math.round((Math.max(...sizes) - (sizes[0] ?? 0)) * 1024 ** 2)
}

async function measure(): Promise<ReadonlyMap<string, Kept>> {
  const program = path.join(import.meta.dirname, '../memory/measure.ts')
  const garbage = [
    '--expose-gc',
    '--trace-gc',
    '--gc-global',
    '--max-semi-space-size=1',
    '--single-threaded-gc',
  ]
  const flags = [...garbage, '--conditions=@disk-image/source', '--no-warnings']
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program], {
    maxBuffer: 2 ** 26,
    timeout: 280_000,
  })
  const measured = new Map<string, Kept>()
  for (const part of stdout.split('\nBEGIN ').slice(1)) {
    const lines = part.split('\n')
    const end = lines.findIndex((line) => line.startsWith('END '))
    const { name, ...kept } = JSON.parse(lines[end]?.slice(4) ?? '') as Omit<Kept, 'heap'> & { name: string }
    measured.set(name, { ...kept, heap: heapPeak(lines.slice(0, end)) })
  }
  return measured
}

describe('the inspector keeps less than 2 MiB of', () => {
  let measured: ReadonlyMap<string, Kept>
  beforeAll(async () => {
    measured = await measure()
  }, 300_000)

  test.each(hostileImages.map(({ name }) => name))('%s', (name) => {
    const { stream = most, reading = most, heap = most } = measured.get(name) ?? {}
    expect(stream).toBeLessThan(most)
    expect(reading).toBeLessThan(most)
    // The first MiB and the room for a read are array buffers, outside of the heap.
    expect(heap).toBeLessThan(most - 1024 ** 2 + traceStep)
  })

  test('the measure sees an inspector that keeps too much', () => {
    expect(measured.get('control: keeps buffers')?.stream).toBeGreaterThan(most)
    expect(measured.get('control: keeps objects')?.stream).toBeGreaterThan(most)
    expect(measured.get('control: keeps objects')?.heap).toBeGreaterThan(most)
  })
})
