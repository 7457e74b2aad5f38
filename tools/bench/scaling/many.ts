/**
 * Eight images at once against the best that single streams reach here: one after the other, as many at once as
 * there are cores, and as many processes. With `--json` it prints one object with its results, each with `ratio`:
 * seconds of eight at once / seconds of the best.
 */
import { execa } from 'execa'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { measure } from '../measure.ts'
import { settle } from '../settle.ts'
import { spreadOf } from '../statistics.ts'
import { compareDisk, type Disk, makeCompressedDisk, makeDisk } from './disks.ts'
import { command, serve, tidy } from './field.ts'

const folder = path.resolve(import.meta.dirname, '../../../.cache/bench/many')
const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    repeat: { type: 'string', default: '3' },
    size: { type: 'string', default: '0.5' },
  },
})
const images = 8

/** What one way of fetching all images took, round by round. */
interface Way {
  readonly name: string
  readonly command: readonly string[]
  readonly seconds: number[]
  readonly cpuSeconds: number[]
  readonly peakRssBytes: number[]
}

async function measureFormat(
  disk: Disk,
  format: 'raw' | 'qcow2',
  workload: string = format,
): Promise<object> {
  const offer = { file: disk[format], diskFormat: format }
  await using first = await serve(folder, [offer])
  const { sha512 } = first.images[0] ?? {}
  await using nginx = await serve(
    folder,
    Array.from({ length: images }, () => ({ ...offer, sha512 })),
  )
  const volumes = nginx.images.map((_, index) => path.join(folder, `volume-${index}.raw`))
  const list = path.join(folder, 'list')
  await writeFile(list, nginx.images.map(({ id }, index) => `${id} ${volumes[index]}\n`).join(''))
  const cores = availableParallelism()
  const fetchList = [...command, 'fetch', '--list', list, '--glance', nginx.url, '--quiet']
  const atOnce = (jobs: number): string[] => [...fetchList, '--jobs', String(jobs)]
  const alone = [...command, 'fetch', '--glance', nginx.url, '--quiet']
  const way = (name: string, words: readonly string[]): Way => ({
    name,
    command: words,
    seconds: [],
    cpuSeconds: [],
    peakRssBytes: [],
  })
  const ours = way(`${images} at once`, atOnce(images))
  const others = [
    way('one after the other', atOnce(1)),
    way(`${cores} at once`, atOnce(cores)),
    way(`${cores} processes`, ['xargs', '-a', list, '-P', String(cores), '-n', '2', ...alone]),
  ]
  const ways = [ours, ...others]
  for (let round = 0; round < Number(values.repeat); round += 1) {
    for (const one of round % 2 === 0 ? ways : ways.toReversed()) {
      await tidy(volumes)
      await settle()
      const run = await measure(one.command)
      for (const volume of volumes) await compareDisk(disk, volume)
      one.seconds.push(run.wallSeconds)
      one.cpuSeconds.push(run.cpuSeconds)
      one.peakRssBytes.push(run.peakRssBytes)
    }
  }
  await tidy(volumes)
  const best = Math.min(...others.map(({ seconds }) => spreadOf(seconds).median))
  return {
    workload,
    ratio: spreadOf(ours.seconds).median / best,
    ways: ways.map(({ name, seconds, cpuSeconds, peakRssBytes }) => ({
      name,
      seconds: spreadOf(seconds),
      cpuSeconds: spreadOf(cpuSeconds).median,
      peakRssBytes: Math.max(...peakRssBytes),
    })),
  }
}

await rm(folder, { recursive: true, force: true })
await mkdir(folder, { recursive: true })
try {
  const compressed = await makeCompressedDisk(folder, Number(values.size))
  const disk = await makeDisk(folder, Number(values.size))
  const results = [
    await measureFormat(disk, 'raw'),
    await measureFormat(disk, 'qcow2'),
    await measureFormat(compressed, 'qcow2', 'compressed qcow2'),
  ]
  console.log(
    JSON.stringify({ images, sizeGiB: disk.sizeGiB, results }, undefined, values.json ? undefined : 2),
  )
} finally {
  await rm(folder, { recursive: true, force: true })
  await execa('sync')
}
