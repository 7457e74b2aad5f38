import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Ovf } from '@disk-image/disk'
import { expect, test } from 'vitest'
import { imagePropertiesOf, readMachine } from './image-properties.ts'

const envelope = (inside: string, more = ''): string =>
  `<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vmw="urn:vmw" xmlns:vbox="urn:vbox" xmlns:xsi="urn:xsi" ${more}>${inside}</Envelope>`

const file = '<References><File ovf:id="f" ovf:href="disk.vmdk"/></References>'
const controller = (type: number, subtype: string): string =>
  `<Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>${subtype}</rasd:ResourceSubType><rasd:ResourceType>${type}</rasd:ResourceType></Item>`
const drive =
  '<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Hard disk 1</rasd:ElementName><rasd:HostResource>ovf:/disk/d</rasd:HostResource><rasd:InstanceID>9</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>'

const vmware = envelope(`${file}
  <DiskSection><Disk ovf:capacity="40" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="d" ovf:fileRef="f"/></DiskSection>
  <VirtualSystem ovf:id="web"><Name>web</Name>
  <OperatingSystemSection ovf:id="94" vmw:osType="ubuntu64Guest"/>
  <VirtualHardwareSection>${controller(6, 'VirtualSCSI')}${drive}
  <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/></VirtualHardwareSection></VirtualSystem>`)

const virtualBox = envelope(`${file}
  <DiskSection><Disk ovf:capacity="10737418241" ovf:diskId="d" ovf:fileRef="f"/></DiskSection>
  <VirtualSystem ovf:id="box"><OperatingSystemSection ovf:id="1"><vbox:OSType>Windows10_64</vbox:OSType></OperatingSystemSection>
  <VirtualHardwareSection>${controller(20, 'AHCI')}${drive}</VirtualHardwareSection>
  <vbox:Machine><Hardware><Firmware type="BIOS"/></Hardware></vbox:Machine></VirtualSystem>`)

/** What virt-v2v writes for oVirt: no controllers, the bus at the disk, an empty parent, and the place as reference. */
const virtV2v = envelope(
  `<References><File ovf:href="disk.vmdk" ovf:id="v" ovf:size="1"/></References>
  <Section xsi:type="ovf:DiskSection_Type"><Disk ovf:diskId="d" ovf:capacity="6442450944" ovf:fileRef="disk.vmdk" ovf:parentRef="" ovf:disk-interface="VirtIO_SCSI" ovf:boot="True"/></Section>
  <Content ovf:id="out" xsi:type="ovf:VirtualSystem_Type"><Name>guest</Name></Content>`,
)

async function machineOf(descriptor: string): Promise<Ovf> {
  const folder = mkdtempSync(path.join(tmpdir(), 'ovf-'))
  try {
    writeFileSync(path.join(folder, 'm.ovf'), descriptor)
    writeFileSync(path.join(folder, 'disk.vmdk'), 'x'.repeat(5000))
    const bytes = execFileSync('tar', ['-C', folder, '-cf', '-', 'm.ovf', 'disk.vmdk'])
    const read = (offset: number, length: number): Promise<Uint8Array> =>
      Promise.resolve(new Uint8Array(bytes.subarray(offset, offset + length)))
    const machine = await readMachine({ size: bytes.length, read })
    if (machine === undefined) throw new Error('no descriptor')
    return machine
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test.each([
  [
    'VMware',
    vmware,
    {
      name: 'web',
      min_disk: 40,
      properties: {
        hw_disk_bus: 'scsi',
        hw_scsi_model: 'vmpvscsi',
        hw_firmware_type: 'uefi',
        os_type: 'linux',
        os_distro: 'ubuntu',
      },
    },
  ],
  [
    'VirtualBox',
    virtualBox,
    {
      name: 'box',
      min_disk: 11,
      properties: { hw_disk_bus: 'sata', hw_firmware_type: 'bios', os_type: 'windows', os_distro: 'windows' },
    },
  ],
  ['virt-v2v', virtV2v, { min_disk: 6, properties: { hw_disk_bus: 'scsi', hw_scsi_model: 'virtio-scsi' } }],
])('the properties of a disk that %s exported', async (_who, descriptor, expected) => {
  const machine = await machineOf(descriptor)
  expect(imagePropertiesOf(machine, 'disk.vmdk')).toMatchObject(expected)
  expect(imagePropertiesOf(machine)).toEqual(imagePropertiesOf(machine, 'd'))
})

test('what a descriptor is not certain of is not said', async () => {
  const machine = await machineOf(vmware)
  expect(imagePropertiesOf(machine, 'another')).not.toHaveProperty('min_disk')
  const odd = { ...machine, name: 'a\nb', operatingSystem: 'other64Guest', firmware: undefined }
  expect(imagePropertiesOf({ ...odd, disks: [...odd.disks, ...odd.disks] })).toEqual({ properties: {} })
  const disks = odd.disks.map((disk) => ({ ...disk, bus: 'nvme', controllerModel: 'constructor' }))
  expect(imagePropertiesOf({ ...odd, disks })).toEqual({ min_disk: 40, properties: {} })
  const centos = { ...odd, operatingSystem: '107' }
  expect(imagePropertiesOf(centos).properties).toMatchObject({ os_type: 'linux', os_distro: 'centos' })
  expect(await readMachine({ size: 700, read: () => Promise.resolve(new Uint8Array(700)) })).toBeUndefined()
})
