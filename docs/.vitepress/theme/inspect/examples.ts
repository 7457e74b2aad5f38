/** A small file that is made in the browser, for visitors who have no image at hand. */
export interface Example {
  readonly title: string
  readonly fileName: string
  make(): Blob
}

const clusterBytes = 65_536

/** Enough for the map to show that not everything is read. */
const fileBytes = 8 * 1024 ** 2

/** A qcow2, version 3, of 1 GiB without data: header, refcount table, one refcount block, L1 table, and unused room. */
function makeQcow2(backingFile: string): Blob {
  const bytes = new Uint8Array(4 * clusterBytes)
  const view = new DataView(bytes.buffer)
  const name = new TextEncoder().encode(backingFile)
  view.setUint32(0, 0x51_46_49_fb)
  view.setUint32(4, 3)
  if (name.length > 0) {
    view.setBigUint64(8, 112n)
    view.setUint32(16, name.length)
    bytes.set(name, 112)
  }
  view.setUint32(20, 16)
  view.setBigUint64(24, 1024n ** 3n)
  view.setUint32(36, 2)
  view.setBigUint64(40, BigInt(3 * clusterBytes))
  view.setBigUint64(48, BigInt(clusterBytes))
  view.setUint32(56, 1)
  view.setUint32(96, 4)
  view.setUint32(100, 104)
  view.setBigUint64(clusterBytes, BigInt(2 * clusterBytes))
  for (let cluster = 0; cluster < 4; cluster += 1) view.setUint16(2 * clusterBytes + 2 * cluster, 1)
  return new Blob([bytes, new Uint8Array(fileBytes - bytes.length)])
}

const foreignDescriptor = `# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"
# Extent description
RW 2097152 FLAT "/etc/passwd" 0
`

export const examples: readonly Example[] = [
  { title: 'a sound qcow2', fileName: 'sound.qcow2', make: () => makeQcow2('') },
  {
    title: 'a qcow2 with a backing file',
    fileName: 'backing-file.qcow2',
    make: () => makeQcow2('/etc/passwd'),
  },
  {
    title: 'a VMDK that names a file of the host',
    fileName: 'foreign.vmdk',
    make: () => new Blob([foreignDescriptor]),
  },
]
