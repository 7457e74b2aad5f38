import { InvalidError } from '@disk-image/core'
import sax from 'sax'

/** Bytes of a descriptor that are read; what VMware and VirtualBox write has some tens of KiB. */
export const longestOvfBytes: number = 4 * 1024 ** 2
const mostDisks = 256
const deepest = 64

/** A disk that an OVF describes. */
export interface OvfDisk {
  /** `ovf:diskId`: `vmdisk1`. */
  readonly id: string
  /** What people see in their machine's settings: `Hard disk 1`. */
  readonly name: string | undefined
  /** The member of the archive that has it; undefined for an empty disk. */
  readonly file: string | undefined
  /** Bytes of the disk, as the descriptor says. */
  readonly capacityBytes: number | undefined
  /** Whether the member is compressed with gzip over its own format. */
  readonly isGzip: boolean
  /** Whether it holds only what changed since another disk. */
  readonly isDelta: boolean
  /** `scsi`, `sata`, `ide`, `nvme` or `virtio`; undefined where the machine does not say. */
  readonly bus: string | undefined
  /** `lsilogic`, `VirtualSCSI`, `virtio_scsi` …, as the descriptor names the controller's model. */
  readonly controllerModel: string | undefined
}

/** What an OVF says of a machine. Text is as it is written there: hostile, and of any length below the file's. */
export interface Ovf {
  readonly name: string | undefined
  /** `ubuntu64Guest`, `Windows_64` …: VMware's or VirtualBox's word, else the number of CIM. */
  readonly operatingSystem: string | undefined
  /** `bios` or `efi`. */
  readonly firmware: string | undefined
  readonly memoryMiB: number | undefined
  readonly processors: number | undefined
  /** In the order in which the machine has them: by controller and address, then as they are listed. */
  readonly disks: readonly OvfDisk[]
}

interface Item {
  type?: string
  subtype?: string
  id?: string
  parent?: string
  address?: string
  resource?: string
  name?: string
  quantity?: string
  units?: string
}

interface Element {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
  text: string
}

const directBuses: Readonly<Record<string, string>> = {
  ide: 'ide',
  sata: 'sata',
  virtio: 'virtio',
  virtio_scsi: 'scsi',
}
/** CIM's numbers of resources, which are a device of the machine or what it hangs on. */
const buses: Readonly<Record<string, string>> = { '5': 'ide', '6': 'scsi' }
const itemKeys: ReadonlyMap<string, keyof Item> = new Map([
  ['ResourceType', 'type'],
  ['ResourceSubType', 'subtype'],
  ['InstanceID', 'id'],
  ['InstanceId', 'id'],
  ['Parent', 'parent'],
  ['AddressOnParent', 'address'],
  ['HostResource', 'resource'],
  ['ElementName', 'name'],
  ['Caption', 'name'],
  ['VirtualQuantity', 'quantity'],
  ['AllocationUnits', 'units'],
])

/**
 * Reads the descriptor of an OVA, of version 0.9 to 2.
 *
 * No document type is read, and no entity but XML's own five: nothing outside is opened, and nothing expands.
 *
 * @throws {InvalidError} for what is no such descriptor, or is out of all proportion
 * @see DSP0243
 */
export function parseOvf(bytes: Uint8Array): Ovf {
  if (bytes.length > longestOvfBytes) throw bad(`it has more than ${longestOvfBytes} bytes`)
  const reader = new OvfReader()
  const parser = sax.parser(true, { position: false })
  const path: Element[] = []
  let hasRoot = false
  parser.onerror = (error) => {
    throw bad(`it is no XML: ${error.message.split('\n')[0] ?? ''}`)
  }
  parser.ondoctype = () => {
    throw bad('it has a document type')
  }
  parser.onopentag = ({ name, attributes }) => {
    if (path.length === 0 && hasRoot) throw bad('it is no XML: it has two roots')
    hasRoot = true
    if (path.length === deepest) throw bad(`its elements are nested more than ${deepest} deep`)
    // Every break within an attribute is a blank to XML, and no business of this parser.
    const plain = Object.entries(attributes).map(
      ([key, value]) => [localName(key), String(value).replaceAll(/\r\n|[\t\n\r]/g, ' ')] as const,
    )
    const element = { name: localName(name), attributes: new Map(plain), text: '' }
    path.push(element)
    reader.open(element)
  }
  parser.ontext = parser.oncdata = (text: string) => {
    const element = path.at(-1)
    if (element !== undefined) element.text += text
  }
  parser.onclosetag = () => {
    const element = path.pop()
    if (element !== undefined) reader.close(element, path.at(-1))
  }
  parser.write(decode(bytes)).close()
  return reader.result()
}

/** Collects what counts, and lets everything else pass: vendors add sections. */
class OvfReader {
  readonly #files = new Map<string, { readonly href: string; readonly isGzip: boolean }>()
  readonly #disks: ReadonlyMap<string, string>[] = []
  readonly #items: Item[] = []
  #isOvf = false
  #item: Item | undefined
  #machineName: string | undefined
  #system: string | undefined
  #firmware: string | undefined

  open({ name, attributes }: Element): void {
    if (name === 'Envelope') this.#isOvf = true
    else if (name === 'File') this.#addFile(attributes)
    else if (name === 'Disk' && attributes.has('diskId')) this.#disks.push(attributes)
    else if (name === 'Item' || name === 'StorageItem') this.#item = {}
    else if (name === 'OperatingSystemSection')
      this.#system = attributes.get('osType') ?? attributes.get('id')
    else if (name === 'Config' && attributes.get('key') === 'firmware')
      this.#setFirmware(attributes.get('value'))
    else if (name === 'Firmware') this.#setFirmware(attributes.get('type'))
    else if (name === 'VirtualSystem') this.#machineName ??= attributes.get('id')
    if (this.#disks.length > mostDisks || this.#files.size > mostDisks * 4) throw bad('it has too many disks')
  }

  close({ name, text }: Element, parent: Element | undefined): void {
    const words = text.trim()
    if (name === 'Item' || name === 'StorageItem') {
      if (this.#item !== undefined) this.#items.push(this.#item)
      this.#item = undefined
    } else if (this.#item !== undefined) {
      const key = itemKeys.get(name)
      if (key !== undefined && words !== '') this.#item[key] ??= words
    } else if (
      name === 'Name' &&
      (parent?.name === 'VirtualSystem' || parent?.name === 'Content') &&
      words !== ''
    ) {
      this.#machineName = words
    } else if (name === 'OSType' && parent?.name === 'OperatingSystemSection' && words !== '') {
      this.#system = words
    }
  }

  result(): Ovf {
    if (!this.#isOvf) throw bad('its root is no Envelope')
    const quantity = (type: string): Item | undefined => this.#items.find((item) => item.type === type)
    const memory = quantity('4')
    const bytes = memory && scaled(memory.quantity, memory.units ?? 'byte * 2^20')
    return {
      name: this.#machineName,
      operatingSystem: this.#system,
      firmware: this.#firmware,
      memoryMiB: bytes === undefined ? undefined : Math.round(bytes / 1024 ** 2),
      processors: scaled(quantity('3')?.quantity, 'byte'),
      disks: this.#orderedDisks(),
    }
  }

  #addFile(attributes: ReadonlyMap<string, string>): void {
    const id = attributes.get('id')
    const href = attributes.get('href')
    if (id === undefined || href === undefined) return
    if (this.#files.has(id)) throw bad('it names two files by one id')
    const compression = attributes.get('compression') ?? 'identity'
    if (!['identity', 'gzip'].includes(compression))
      throw bad(`a file of it has the compression ${JSON.stringify(compression.slice(0, 40))}`)
    if (attributes.has('chunkSize')) throw bad('a file of it is split into chunks')
    this.#files.set(id, { href, isGzip: compression === 'gzip' })
  }

  #setFirmware(value: string | undefined): void {
    const word = value?.toLowerCase()
    if (word === 'bios') this.#firmware = 'bios'
    else if (word?.startsWith('efi') === true) this.#firmware = 'efi'
  }

  #orderedDisks(): OvfDisk[] {
    const byId = new Map(this.#items.map((item) => [item.id, item]))
    const drives = this.#items.filter((item) => item.type === '17')
    const placed = this.#disks.map((attributes, index) => {
      const id = attributes.get('diskId') ?? ''
      const drive = drives.find(({ resource }) => resource?.split('/').at(-1) === id)
      const controller = drive?.parent === undefined ? undefined : byId.get(drive.parent)
      const place = drive === undefined ? Infinity : drives.indexOf(drive)
      const order = [orderOf(controller?.id, Infinity), orderOf(drive?.address, place), index]
      return { order, disk: this.#disk(id, attributes, drive, controller) }
    })
    placed.sort((left, right) => compare(left.order, right.order))
    return placed.map(({ disk }) => disk)
  }

  #disk(
    id: string,
    attributes: ReadonlyMap<string, string>,
    drive: Item | undefined,
    controller: Item | undefined,
  ): OvfDisk {
    const reference = attributes.get('fileRef')
    // virt-v2v has the place in place of the id, an empty parent, and no controllers.
    const byPlace = [...this.#files.values()].find(({ href }) => href === reference)
    const file = reference === undefined ? undefined : (this.#files.get(reference) ?? byPlace)
    const direct = attributes.get('disk-interface')?.toLowerCase()
    if (reference !== undefined && file === undefined)
      throw bad('a disk of it names a file that it does not list')
    return {
      id,
      name: drive?.name,
      file: file?.href,
      capacityBytes: scaled(attributes.get('capacity'), attributes.get('capacityAllocationUnits') ?? 'byte'),
      isGzip: file?.isGzip ?? false,
      isDelta: (attributes.get('parentRef') ?? '') !== '',
      bus: busOf(controller) ?? (direct === undefined ? undefined : directBuses[direct]),
      controllerModel: controller?.subtype ?? (direct === 'virtio_scsi' ? direct : undefined),
    }
  }
}

function busOf(controller: Item | undefined): string | undefined {
  if (controller === undefined) return undefined
  const model = controller.subtype?.toLowerCase() ?? ''
  if (model.includes('nvme')) return 'nvme'
  if (model.includes('ahci') || model.includes('sata')) return 'sata'
  if (model.includes('virtio') && !model.includes('scsi')) return 'virtio'
  return buses[controller.type ?? '']
}

/** A quantity in bytes. @see DSP0004 for units such as `byte * 2^30` */
function scaled(quantity: string | undefined, units: string): number | undefined {
  if (quantity === undefined || !/^\d{1,16}$/.test(quantity)) return undefined
  const factor = factorOf(units)
  const bytes = factor === undefined ? undefined : Number(quantity) * factor
  return bytes !== undefined && Number.isSafeInteger(bytes) ? bytes : undefined
}

const oldUnits: Readonly<Record<string, number>> = {
  kilobytes: 2 ** 10,
  megabytes: 2 ** 20,
  gigabytes: 2 ** 30,
  terabytes: 2 ** 40,
}

function factorOf(units: string): number | undefined {
  const word = units.trim().toLowerCase()
  if (Object.hasOwn(oldUnits, word)) return oldUnits[word]
  const power = /^bytes?(?: *\* *(2|10)\^(\d{1,2}))?$/.exec(word)
  if (power === null) return undefined
  return power[1] === undefined ? 1 : Number(power[1]) ** Number(power[2])
}

function orderOf(value: string | undefined, otherwise: number): number {
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : otherwise
}

function compare(left: readonly number[], right: readonly number[]): number {
  for (const [index, value] of left.entries()) {
    const other = right[index] ?? 0
    if (value !== other) return value < other ? -1 : 1
  }
  return 0
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1)
}

function decode(bytes: Uint8Array): string {
  const mark = (bytes[0] ?? 0) * 256 + (bytes[1] ?? 0)
  const encoding = mark === 0xfffe ? 'utf-16le' : mark === 0xfeff ? 'utf-16be' : 'utf-8'
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch {
    throw bad(`it is no ${encoding} text`)
  }
}

function bad(reason: string): InvalidError {
  return new InvalidError({ reason: `The descriptor (.ovf) can't be read: ${reason}.` })
}
