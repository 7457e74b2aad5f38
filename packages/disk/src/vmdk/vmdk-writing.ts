import { InvalidError } from '@disk-image/core'
import type { VmdkEncodeOptions } from '../encode/encode-options.ts'
import { viewOf } from '../layouts/fields.ts'
import { atEndMark, type VmdkHeader } from './vmdk-header.ts'

export const sectorBytes = 512
/** What every reader of the format takes. */
export const grainBytes = 65_536
export const grainSectors: number = grainBytes / sectorBytes
export const tableEntries = 512
/** Bytes of the disk that one grain table has. */
export const tableSpanBytes: number = grainBytes * tableEntries
/** Sectors of a grain table. */
export const tableSectors: number = (tableEntries * 4) / sectorBytes
/** A grain table has 32 bits for a sector. */
export const mostFileSectors: number = 2 ** 32

const descriptorSectors = 20
/** A disk of 62 TiB is the largest that VMware knows. */
const mostDiskBytes = 62 * 1024 ** 4

const adapters = ['ide', 'buslogic', 'lsilogic', 'pvscsi'] as const

/** What a VMDK says of itself. */
export interface VmdkShape {
  readonly createType: 'streamOptimized' | 'monolithicSparse'
  readonly capacitySectors: number
  readonly grains: number
  readonly tables: number
  /** With the descriptor, without the directory. */
  header(places: VmdkPlaces): Uint8Array
  /** Sectors 1 to {@link VmdkShape.headSectors}. */
  readonly descriptor: Uint8Array
  readonly headSectors: number
}

/** Sectors at which a VMDK has its directories and its first grain. */
export interface VmdkPlaces {
  readonly directory: number | bigint
  readonly redundantDirectory: number
  readonly overhead: number
}

/** @throws {InvalidError} for an option that the format has not, and a disk that it can't hold */
export function shapeVmdk(
  createType: VmdkShape['createType'],
  sizeBytes: number,
  options: VmdkEncodeOptions,
): VmdkShape {
  const { adapterType = 'lsilogic', hardwareVersion = 10, toolsVersion = 2_147_483_647 } = options
  if (!adapters.includes(adapterType)) {
    throw new InvalidError({ reason: `adapterType is ${adapterType}; ${adapters.join(', ')} are known` })
  }
  requireNumber('hardwareVersion', hardwareVersion, 99)
  requireNumber('toolsVersion', toolsVersion, 2 ** 31 - 1)
  if (sizeBytes < 1 || sizeBytes > mostDiskBytes) {
    throw new InvalidError({ reason: `a VMDK holds 1 byte to 62 TiB, not ${sizeBytes} bytes` })
  }
  const capacitySectors = Math.ceil(sizeBytes / sectorBytes)
  const text = descriptorText(createType, capacitySectors, {
    adapterType: adapterType === 'pvscsi' ? 'lsilogic' : adapterType,
    hardwareVersion,
    toolsVersion,
    contentId: options.contentId,
  })
  const descriptor = new Uint8Array(descriptorSectors * sectorBytes)
  descriptor.set(Buffer.from(text, 'latin1'))
  const isStream = createType === 'streamOptimized'
  return {
    createType,
    capacitySectors,
    grains: Math.ceil(capacitySectors / grainSectors),
    tables: Math.ceil(capacitySectors / (grainSectors * tableEntries)),
    headSectors: 1 + descriptorSectors,
    descriptor,
    header: ({ directory, redundantDirectory, overhead }) =>
      encodeVmdkHeader({
        magic: 'KDMV',
        version: isStream ? 3 : 1,
        // The newline test, and either compressed grains with markers, or a second directory.
        flags: isStream ? 0x30001 : 3,
        capacity: BigInt(capacitySectors),
        grainSize: BigInt(grainSectors),
        descriptorOffset: 1n,
        descriptorSize: BigInt(descriptorSectors),
        tableEntries,
        redundantDirectory: BigInt(redundantDirectory),
        directory: BigInt(directory),
        overhead: BigInt(overhead),
        unclean: false,
        compression: isStream ? 1 : 0,
      }),
  }
}

function requireNumber(name: string, value: number, most: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= most) return
  throw new InvalidError({ reason: `${name} is ${value}; a whole number up to ${most} is right` })
}

/** @see VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents" */
function encodeVmdkHeader(header: VmdkHeader): Uint8Array {
  const bytes = new Uint8Array(sectorBytes)
  const view = viewOf(bytes)
  bytes.set(Buffer.from(header.magic, 'latin1'))
  view.setUint32(4, header.version, true)
  view.setUint32(8, header.flags, true)
  view.setBigUint64(12, header.capacity, true)
  view.setBigUint64(20, header.grainSize, true)
  view.setBigUint64(28, header.descriptorOffset, true)
  view.setBigUint64(36, header.descriptorSize, true)
  view.setUint32(44, header.tableEntries, true)
  view.setBigUint64(48, header.redundantDirectory, true)
  view.setBigUint64(56, header.directory, true)
  view.setBigUint64(64, header.overhead, true)
  // What a transfer as text would have changed.
  bytes.set([0x0a, 0x20, 0x0d, 0x0a], 73)
  view.setUint16(77, header.compression, true)
  return bytes
}

/** Where the directory is, which only the footer knows. */
export const directoryAtEnd: bigint = atEndMark

function descriptorText(
  createType: string,
  sectors: number,
  {
    adapterType,
    hardwareVersion,
    toolsVersion,
    contentId = contentIdOf(createType, sectors),
  }: VmdkEncodeOptions,
): string {
  requireNumber('contentId', contentId, 0xfffffffd)
  const [heads, perTrack] = adapterType === 'ide' ? [16, 63] : [255, 63]
  const cylinders = Math.max(1, Math.floor(sectors / (heads * perTrack)))
  return `# Disk DescriptorFile
version=1
CID=${contentId.toString(16).padStart(8, '0')}
parentCID=ffffffff
isNativeSnapshot="no"
createType="${createType}"

# Extent description
RW ${sectors} SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "${hardwareVersion}"
ddb.geometry.cylinders = "${adapterType === 'ide' ? Math.min(cylinders, 16_383) : cylinders}"
ddb.geometry.heads = "${heads}"
ddb.geometry.sectors = "${perTrack}"
ddb.adapterType = "${adapterType}"
ddb.toolsInstallType = "4"
ddb.toolsVersion = "${toolsVersion}"
`
}

/** The same for the same disk: a stream can't know its content before it has sent this. */
function contentIdOf(createType: string, sectors: number): number {
  const digest = process
    .getBuiltinModule('node:crypto')
    .createHash('sha256')
    .update(`vmdk ${createType} ${sectors}`)
    .digest()
  // The highest two say that there is no parent, and that there is no identity yet.
  return digest.readUInt32BE() % 0xfffffffe
}
