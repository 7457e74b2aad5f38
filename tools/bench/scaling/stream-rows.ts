import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { compareDisk, type Disk, makeDisk, removeDisk } from './disks.ts'
import { command, serve, type Served, startLink } from './field.ts'
import type { Meter } from './meter.ts'

/** Several images at once, as fast as it goes and over one link that they share. */
export async function measureStreams(meter: Meter): Promise<void> {
  const disk = await makeDisk(meter.folder, meter.quick ? 0.1 : 0.3)
  try {
    for (const format of ['raw', 'qcow2'] as const) {
      const offer = { file: disk[format], diskFormat: format }
      await using first = await serve(meter.folder, [offer])
      const { sha512 } = first.images[0] ?? {}
      await using nginx = await serve(
        meter.folder,
        Array.from({ length: 8 }, () => ({ ...offer, sha512 })),
      )
      for (const streams of [1, 2, 4, 8]) await measureOne(meter, disk, format, nginx, streams)
      if (format === 'qcow2') continue
      const bytesPerSecond = 200e6
      await using link = await startLink(nginx.url, { bytesPerSecond })
      const shared = { url: link.url, images: nginx.images }
      for (const streams of [1, 4]) await measureOne(meter, disk, format, shared, streams, bytesPerSecond)
    }
  } finally {
    await removeDisk(disk)
  }
}

async function measureOne(
  meter: Meter,
  disk: Disk,
  format: string,
  { url, images }: { readonly url: string; readonly images: readonly Served[] },
  streams: number,
  linkBytesPerSecond?: number,
): Promise<void> {
  const list = path.join(meter.folder, 'list')
  const chosen = images.slice(0, streams)
  const volumes = chosen.map((_, index) => path.join(meter.folder, `volume-${index}.raw`))
  await writeFile(list, chosen.map(({ id }, index) => `${id} ${volumes[index]}\n`).join(''))
  const over = linkBytesPerSecond === undefined ? '' : `, one link of ${linkBytesPerSecond / 1e6} MB/s`
  await meter.measure({
    section: `images at once (${disk.sizeGiB} GiB each)`,
    what: `${streams} × ${format}${over}`,
    work: {
      wireBytes: chosen.reduce((sum, { size }) => sum + size, 0),
      dataBytes: disk.dataBytes * streams,
      streams,
      connections: 1,
      linkBytesPerSecond,
    },
    command: [...command, 'fetch', '--list', list, '--jobs', String(streams), '--glance', url, '--json'],
    outputs: volumes,
    check: async () => {
      for (const volume of volumes) await compareDisk(disk, volume)
    },
  })
}
