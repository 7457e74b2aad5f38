import path from 'node:path'
import { compareDisk, type Disk, makeDisk, removeDisk } from './disks.ts'
import { command, serve, type Served, startLink } from './field.ts'
import type { Meter } from './meter.ts'
import type { LinkOptions } from './slow-link.ts'

const MiB = 1024 ** 2
/** What Linux grants one connection with its default `tcp_rmem` of at most 6 MiB, half of it for the window. */
const windowBytes = 3 * MiB

interface Fetch {
  readonly section: string
  readonly what: string
  readonly disk: Disk
  readonly image: Served
  readonly url: string
  readonly connections?: number
  readonly link?: Omit<LinkOptions, 'port'>
  readonly linkBytesPerSecond?: number
  readonly curl?: boolean
}

async function measureFetch(meter: Meter, fetch: Fetch): Promise<void> {
  const { image, url, disk, connections = 1, link } = fetch
  const volume = path.join(meter.folder, 'volume.raw')
  const words = ['fetch', image.id, volume, '--glance', url, '--connections', String(connections), '--json']
  await meter.measure({
    section: fetch.section,
    what: fetch.what,
    work: {
      wireBytes: image.size,
      dataBytes: disk.dataBytes,
      streams: 1,
      connections,
      linkBytesPerSecond: fetch.linkBytesPerSecond,
      roundTripMs: link?.roundTripMs,
      windowBytes,
    },
    command: [...command, ...words],
    outputs: [volume],
    check: () => compareDisk(disk, volume),
    floor:
      fetch.curl === true ? ['curl', '-sSf', '-o', volume, `${url}/v2/images/${image.id}/file`] : undefined,
  })
}

/** Runs with a disk of 0.3 GiB that is served. */
async function withDisk(
  meter: Meter,
  format: 'raw' | 'qcow2',
  act: (disk: Disk, image: Served, url: string) => Promise<void>,
): Promise<void> {
  const disk = await makeDisk(meter.folder, meter.quick ? 0.1 : 0.3)
  try {
    await using nginx = await serve(meter.folder, [{ file: disk[format], diskFormat: format }])
    const [image] = nginx.images
    if (image !== undefined) await act(disk, image, nginx.url)
  } finally {
    await removeDisk(disk)
  }
}

/** A raw image over a link of some latency, over one connection and over four, beside curl. */
export async function measureLatency(meter: Meter): Promise<void> {
  await withDisk(meter, 'raw', async (disk, image, url) => {
    for (const roundTripMs of [0, 5, 50]) {
      const link = { roundTripMs, windowBytes }
      await using running = await startLink(url, link)
      for (const connections of roundTripMs === 0 ? [1] : [1, 4]) {
        await measureFetch(meter, {
          section: `round trip (raw, ${disk.sizeGiB} GiB)`,
          what: `${roundTripMs} ms, ${connections === 1 ? 'one connection' : `${connections} connections`}`,
          disk,
          image,
          url: running.url,
          connections,
          link,
          curl: connections === 1,
        })
      }
    }
  })
}

/** Both formats over links of some bandwidth. */
export async function measureBandwidth(meter: Meter): Promise<void> {
  for (const format of ['raw', 'qcow2'] as const) {
    const disk = await makeDisk(meter.folder, meter.quick ? 0.1 : 0.3)
    try {
      let sha512: string | undefined
      for (const megabytes of [50, 200, 1000]) {
        const offer = { file: disk[format], diskFormat: format, sha512 }
        await using nginx = await serve(meter.folder, [offer], megabytes * 1e6)
        const [image] = nginx.images
        if (image === undefined) continue
        ;({ sha512 } = image)
        await measureFetch(meter, {
          section: `bandwidth (${disk.sizeGiB} GiB)`,
          what: `${format}, ${megabytes} MB/s`,
          disk,
          image,
          url: nginx.url,
          linkBytesPerSecond: megabytes * 1e6,
          curl: format === 'raw',
        })
      }
    } finally {
      await removeDisk(disk)
    }
  }
}

/** A link that breaks every connection after so many bytes: what continuing costs. */
export async function measureResumes(meter: Meter): Promise<void> {
  await withDisk(meter, 'raw', async (disk, image, url) => {
    for (const [roundTripMs, cutMiB] of [
      [0, undefined],
      [0, 64],
      [0, 8],
      [5, 64],
      [50, 64],
    ] as const) {
      const cut = cutMiB === undefined ? {} : { cutAfterBytes: cutMiB * MiB }
      const link = { roundTripMs, windowBytes, ...cut }
      await using running = await startLink(url, link)
      const broken = cutMiB === undefined ? 'never broken' : `broken after each ${cutMiB} MiB`
      await measureFetch(meter, {
        section: `broken connections (raw, ${disk.sizeGiB} GiB)`,
        what: `${broken}, ${roundTripMs} ms`,
        disk,
        image,
        url: running.url,
        link,
      })
    }
  })
}
