import { InvalidError } from '@disk-image/core'

/** How disks hang on a machine. */
export type OvaController = 'buslogic' | 'ide' | 'lsilogic' | 'lsilogicsas' | 'nvme' | 'pvscsi' | 'sata'

/** A machine as an OVA describes it. */
export interface OvaMachine {
  readonly name: string
  /** @default 'lsilogic' */
  readonly controller?: OvaController | undefined
  /** @default 'bios' */
  readonly firmware?: 'bios' | 'efi' | undefined
  /** VMware's word: `ubuntu64Guest`, `windows2019srv_64Guest` … @default 'otherGuest64' */
  readonly operatingSystem?: string | undefined
  /** @default 1024 */
  readonly memoryMiB?: number | undefined
  /** @default 1 */
  readonly processors?: number | undefined
  /** VMware's number of the oldest virtual hardware that takes the machine. @default 10; 13 with `nvme` */
  readonly hardwareVersion?: number | undefined
}

/** A file of an OVA. */
export interface OvfFile {
  readonly name: string
  /** Bytes of the file. */
  readonly sizeBytes: number
  /** Bytes of the disk in it. */
  readonly capacityBytes: number
}

interface ControllerKind {
  /** CIM's number. */
  readonly type: number
  readonly model: string
  readonly title: string
  /** Disks on one of them. */
  readonly most: number
  readonly count: number
}

const scsi = { type: 6, title: 'SCSI Controller', most: 15, count: 1 } as const
const kinds: Readonly<Record<OvaController, ControllerKind>> = {
  buslogic: { ...scsi, model: 'buslogic' },
  ide: { type: 5, model: 'PIIX4', title: 'IDE Controller', most: 2, count: 2 },
  lsilogic: { ...scsi, model: 'lsilogic' },
  lsilogicsas: { ...scsi, model: 'lsilogicsas' },
  nvme: { type: 20, model: 'vmware.nvme.controller', title: 'NVMe Controller', most: 15, count: 1 },
  pvscsi: { ...scsi, model: 'VirtualSCSI' },
  sata: { type: 20, model: 'vmware.sata.ahci', title: 'SATA Controller', most: 30, count: 1 },
}

const firstController = 3
/** The controller has this number on its own bus. */
const ownScsiUnit = 7
const schemas = 'http://schemas.dmtf.org'
const vmdkFormat = 'http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized'

/** @throws {InvalidError} for a machine or a number of disks that can't be described */
export function requireMachine(machine: OvaMachine, disks: number): void {
  const { name, controller = 'lsilogic', firmware = 'bios', operatingSystem = 'otherGuest64' } = machine
  if (!Object.hasOwn(kinds, controller)) {
    throw new InvalidError({
      reason: `controller is ${controller}; ${Object.keys(kinds).join(', ')} are known`,
    })
  }
  if (!['bios', 'efi'].includes(firmware)) {
    throw new InvalidError({ reason: `firmware is ${firmware}; bios or efi is right` })
  }
  if (!/^\w{1,80}$/.test(operatingSystem)) {
    throw new InvalidError({
      reason: `operatingSystem is ${JSON.stringify(operatingSystem)}, which is no word`,
    })
  }
  if (name.trim() === '' || name.length > 255 || !/^[^\p{Cc}\p{Cs}\uFFFE\uFFFF]*$/u.test(name)) {
    throw new InvalidError({ reason: `a machine can't be named ${JSON.stringify(name.slice(0, 300))}` })
  }
  const numbers = { memoryMiB: 2 ** 30, processors: 1024, hardwareVersion: 99 } as const
  for (const [key, most] of Object.entries(numbers)) {
    const value = machine[key as keyof typeof numbers] ?? 1
    if (Number.isInteger(value) && value >= 1 && value <= most) continue
    throw new InvalidError({ reason: `${key} is ${value}; a whole number from 1 to ${most} is right` })
  }
  const { most, count } = kinds[controller]
  if (disks < 1 || disks > most * count) {
    throw new InvalidError({
      reason: `a machine with ${controller} has 1 to ${most * count} disks, not ${disks}`,
    })
  }
}

/**
 * The descriptor of a machine and its disks.
 *
 * @see DSP0243
 */
export function writeOvf(machine: OvaMachine, files: readonly OvfFile[]): string {
  const { name, firmware = 'bios', operatingSystem = 'otherGuest64' } = machine
  const text = escaped(name)
  return `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="${schemas}/ovf/envelope/1" xmlns:ovf="${schemas}/ovf/envelope/1" xmlns:rasd="${schemas}/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="${schemas}/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
${files.map(fileElement).join('\n')}
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
${files.map(diskElement).join('\n')}
  </DiskSection>
  <VirtualSystem ovf:id="${text}">
    <Info>A virtual machine</Info>
    <Name>${text}</Name>
    <OperatingSystemSection ovf:id="1" vmw:osType="${escaped(operatingSystem)}">
      <Info>The operating system of the guest</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>${text}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-${hardwareVersionOf(machine)}</vssd:VirtualSystemType>
      </System>
${itemsOf(machine, files.length).map(itemElement).join('\n')}
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="${firmware}"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
`
}

/** VMware's number of the virtual hardware. */
export function hardwareVersionOf({ controller, hardwareVersion }: OvaMachine): number {
  return hardwareVersion ?? (controller === 'nvme' ? 13 : 10)
}

function fileElement({ name, sizeBytes }: OvfFile, index: number): string {
  return `    <File ovf:href="${escaped(name)}" ovf:id="file${index + 1}" ovf:size="${sizeBytes}"/>`
}

function diskElement({ capacityBytes }: OvfFile, index: number): string {
  return `    <Disk ovf:capacity="${capacityBytes}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk${index + 1}" ovf:fileRef="file${index + 1}" ovf:format="${vmdkFormat}"/>`
}

/** Values by the names of their elements, which the schema has in this order. */
type Item = Readonly<Record<string, string | number>>

function itemsOf(
  { controller = 'lsilogic', memoryMiB = 1024, processors = 1 }: OvaMachine,
  disks: number,
): Item[] {
  const { type, model, title, most } = kinds[controller]
  const controllers = Array.from({ length: Math.ceil(disks / most) }, (_, address) => ({
    Address: address,
    ElementName: `${title} ${address}`,
    InstanceID: firstController + address,
    ResourceSubType: model,
    ResourceType: type,
  }))
  const drives = Array.from({ length: disks }, (_, index) => {
    const unit = index % most
    return {
      AddressOnParent: type === scsi.type && unit >= ownScsiUnit ? unit + 1 : unit,
      ElementName: `Hard Disk ${index + 1}`,
      HostResource: `ovf:/disk/vmdisk${index + 1}`,
      InstanceID: firstController + controllers.length + index,
      Parent: firstController + Math.floor(index / most),
      ResourceType: 17,
    }
  })
  return [
    {
      AllocationUnits: 'hertz * 10^6',
      ElementName: `${processors} virtual CPU(s)`,
      InstanceID: 1,
      ResourceType: 3,
      VirtualQuantity: processors,
    },
    {
      AllocationUnits: 'byte * 2^20',
      ElementName: `${memoryMiB} MiB of memory`,
      InstanceID: 2,
      ResourceType: 4,
      VirtualQuantity: memoryMiB,
    },
    ...controllers,
    ...drives,
  ]
}

function itemElement(item: Item): string {
  const values = Object.entries(item).map(([name, value]) => `        <rasd:${name}>${value}</rasd:${name}>`)
  return ['      <Item>', ...values, '      </Item>'].join('\n')
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

function escaped(text: string): string {
  return text.replaceAll(/["&'<>]/g, (character) => entities[character] ?? '')
}

const adapterTypes: Readonly<Record<string, OvaController>> = {
  buslogic: 'buslogic',
  ide: 'ide',
  lsilogic: 'lsilogic',
  lsilogicsas: 'lsilogicsas',
  paravirtual: 'pvscsi',
}
const diskBuses: Readonly<Record<string, OvaController>> = { ide: 'ide', nvme: 'nvme', sata: 'sata' }

/**
 * A machine by the properties that Glance has of an image: `vmware_adaptertype`, `vmware_ostype`, `vmware_hw_version`,
 * `hw_disk_bus`, `hw_firmware_type`. What means nothing here is left out.
 *
 * @see https://docs.openstack.org/glance/latest/admin/useful-image-properties.html
 */
export function machineOfProperties(name: string, properties: Readonly<Record<string, unknown>>): OvaMachine {
  const word = (key: string): string => {
    const value = properties[key]
    return typeof value === 'string' ? value : ''
  }
  const pick = <Value>(table: Readonly<Record<string, Value>>, key: string): Value | undefined =>
    Object.hasOwn(table, word(key).toLowerCase()) ? table[word(key).toLowerCase()] : undefined
  const version = /^vmx-0*([1-9]\d?)$/.exec(word('vmware_hw_version'))?.[1]
  return {
    name,
    controller: pick(adapterTypes, 'vmware_adaptertype') ?? pick(diskBuses, 'hw_disk_bus'),
    firmware: pick({ bios: 'bios', uefi: 'efi' } as const, 'hw_firmware_type'),
    operatingSystem: /^\w{1,80}$/.test(word('vmware_ostype')) ? word('vmware_ostype') : undefined,
    hardwareVersion: version === undefined ? undefined : Number(version),
  }
}
