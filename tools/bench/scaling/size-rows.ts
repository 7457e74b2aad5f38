import { execa } from 'execa'
import path from 'node:path'
import { compareDisk, type Disk, makeDisk, makeSparseDisk, removeDisk } from './disks.ts'
import { command, serve } from './field.ts'
import type { Meter } from './meter.ts'

const section = 'size of the disk'

/** The same kind of disk in several sizes. */
export async function measureSizes(meter: Meter, sizesGiB: readonly number[]): Promise<void> {
  for (const sizeGiB of sizesGiB) {
    console.error(`a disk of ${sizeGiB} GiB …`)
    const disk = await makeDisk(meter.folder, sizeGiB)
    await measureFetch(meter, disk, 'raw', `${sizeGiB} GiB`)
    await measureFetch(meter, disk, 'qcow2', `${sizeGiB} GiB`)
    await removeDisk(disk)
  }
}

async function measureFetch(meter: Meter, disk: Disk, format: 'raw' | 'qcow2', size: string): Promise<void> {
  await using nginx = await serve(meter.folder, [{ file: disk[format], diskFormat: format }])
  const [image = { id: '', size: 0 }] = nginx.images
  const volume = path.join(meter.folder, 'volume.raw')
  await meter.measure({
    section,
    what: `${format} → raw, ${size}`,
    work: { wireBytes: image.size, dataBytes: disk.dataBytes, streams: 1, connections: 1 },
    command: [...command, 'fetch', image.id, volume, '--glance', nginx.url, '--json'],
    outputs: [volume],
    check: () => compareDisk(disk, volume),
    // A long run varies less, and there is only so much time.
    ...(disk.sizeGiB >= 10 ? { runs: 1 } : {}),
  })
}

/** A disk of 1 TiB that holds 256 MiB: both ways, and raw → qcow2. */
export async function measureSparse(meter: Meter): Promise<void> {
  const disk = await makeSparseDisk(meter.folder)
  try {
    await measureFetch(meter, disk, 'qcow2', '1 TiB with 256 MiB of data')
    const store = path.join(meter.folder, 'store')
    const { dataBytes } = disk
    const upload = ['upload', disk.raw, '--name', 'sparse', '--disk-format', 'qcow2', '--compress', 'none']
    await meter.measure({
      section,
      what: 'raw volume → qcow2 image, 1 TiB with 256 MiB of data',
      // Converted into a temporary file, hashed and stored: the data is written twice.
      work: { wireBytes: dataBytes, dataBytes: 2 * dataBytes, streams: 1, connections: 1 },
      command: [...command, ...upload, '--store', store, '--json'],
      outputs: [store],
      check: async () => {
        const { stdout: files } = await execa('find', [store, '-name', '*.data'])
        await execa('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', disk.raw, files.trim()])
      },
    })
  } finally {
    await removeDisk(disk)
  }
}
