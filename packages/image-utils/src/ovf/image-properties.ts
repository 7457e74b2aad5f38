import type { ImageMetadata, RandomAccessReader } from '@disk-image/core'
import { type Ovf, type OvfDisk, Unwrapper } from '@disk-image/disk'

/** Buses that Nova knows, as a descriptor's disk names them. */
const buses: ReadonlySet<string> = new Set(['ide', 'sata', 'scsi', 'virtio'])

/** Controllers by the names that VMware, VirtualBox and virt-v2v give them, small and without signs. */
const scsiModels: Readonly<Record<string, string>> = {
  buslogic: 'buslogic',
  lsilogic: 'lsilogic',
  lsilogicsas: 'lsisas1068',
  virtioscsi: 'virtio-scsi',
  virtualscsi: 'vmpvscsi',
}

/** How guests begin in VMware's and VirtualBox's words, and what they are: `os_distro` only where that is certain. */
const guests: readonly (readonly [RegExp, 'linux' | 'windows', (string | undefined)?])[] = [
  [/^win/i, 'windows', 'windows'],
  [/^ubuntu/i, 'linux', 'ubuntu'],
  [/^debian/i, 'linux', 'debian'],
  [/^centos/i, 'linux', 'centos'],
  [/^(rhel|redhat)/i, 'linux', 'rhel'],
  [/^fedora/i, 'linux', 'fedora'],
  [/^opensuse/i, 'linux', 'opensuse'],
  [/^arch/i, 'linux', 'arch'],
  [/^gentoo/i, 'linux', 'gentoo'],
  [/^(sles|suse|oracle|linux|other.*linux|rocky|alma|amazonlinux|coreos|vmware-?photon|mandr)/i, 'linux'],
]

/** The same by CIM's numbers. @see DSP1083, CIM_OperatingSystem.OSType */
const cimGuests: Readonly<Record<string, readonly ['linux' | 'windows', string?]>> = {
  '36': ['linux'],
  '58': ['windows', 'windows'],
  '67': ['windows', 'windows'],
  '69': ['windows', 'windows'],
  '79': ['linux', 'rhel'],
  '80': ['linux', 'rhel'],
  '93': ['linux', 'ubuntu'],
  '94': ['linux', 'ubuntu'],
  '95': ['linux', 'debian'],
  '96': ['linux', 'debian'],
  '101': ['linux'],
  '106': ['linux', 'centos'],
  '107': ['linux', 'centos'],
}

/**
 * What an OVF says of a machine, as fields and properties of an image that holds one of its disks: suggestions, over
 * which a caller's own win. Nothing in it is free text of the descriptor but the name.
 *
 * @param machine a report's `unwrapped.machine`
 * @param disk the disk's file, name or id, as in `unwrapped.disk`; the only one where none is given
 * @returns `name`, `min_disk` in GiB, and properties of Nova: `hw_disk_bus`, `hw_scsi_model`, `hw_firmware_type`,
 *   `os_type`, `os_distro`; each only where the descriptor is certain of it
 * @see https://docs.openstack.org/glance/latest/admin/useful-image-properties.html
 */
export function imagePropertiesOf(machine: Ovf, disk?: string): ImageMetadata {
  const found = diskOf(machine, disk)
  const [type, distro] = guestOf(machine.operatingSystem)
  const properties = {
    ...busProperties(found),
    hw_firmware_type: machine.firmware === 'efi' ? 'uefi' : machine.firmware,
    os_type: type,
    os_distro: distro,
  }
  const capacity = found?.capacityBytes
  return known({
    // A name in a record is short, and printable.
    name: machine.name !== undefined && /^[^\p{C}]{1,255}$/u.test(machine.name) ? machine.name : undefined,
    min_disk: capacity === undefined ? undefined : Math.ceil(capacity / 1024 ** 3),
    properties: known(properties),
  })
}

function diskOf({ disks }: Ovf, wanted: string | undefined): OvfDisk | undefined {
  if (wanted === undefined) return disks.length === 1 ? disks[0] : undefined
  return disks.find(({ file, name, id }) => [file, name, id].includes(wanted))
}

function busProperties(disk: OvfDisk | undefined): Record<string, string | undefined> {
  const { bus, controllerModel = '' } = disk ?? {}
  if (bus === undefined || !buses.has(bus)) return {}
  const model = scsiModels[controllerModel.toLowerCase().replaceAll(/[^a-z]/g, '')]
  return { hw_disk_bus: bus, hw_scsi_model: bus === 'scsi' ? model : undefined }
}

function guestOf(
  system: string | undefined,
): readonly ['linux' | 'windows', (string | undefined)?] | readonly [] {
  if (system === undefined) return []
  if (Object.hasOwn(cimGuests, system)) return cimGuests[system] ?? []
  const guest = guests.find(([begins]) => begins.test(system))
  return guest === undefined ? [] : [guest[1], guest[2]]
}

function known<Value>(fields: Readonly<Record<string, Value | undefined>>): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, Value] => entry[1] !== undefined),
  )
}

class Enough extends Error {}

/**
 * The descriptor of an OVA, which is its first file. Nothing after it is read.
 *
 * @returns undefined for what is no OVA
 * @throws {ImageUnacceptableError} for a descriptor that can't be read
 */
export async function readMachine(reader: RandomAccessReader, imageId = 'ova'): Promise<Ovf | undefined> {
  const unwrapper = new Unwrapper({
    imageId,
    expected: 'any',
    maxBytes: Number.MAX_SAFE_INTEGER,
    open: () => {
      throw new Enough()
    },
  })
  try {
    for (let at = 0; at < reader.size && unwrapper.ovf === undefined;) {
      const chunk = await reader.read(at, 256 * 1024)
      await unwrapper.write(chunk)
      at += chunk.length
    }
  } catch (error) {
    if (!(error instanceof Enough)) throw error
  } finally {
    await unwrapper.close()
  }
  return unwrapper.ovf
}
