import { InvalidError } from '@disk-image/core'
import { describe, expect, test } from 'vitest'
import { parseManifest } from './archive.ts'
import { longestOvfBytes, type Ovf, parseOvf } from './ovf.ts'

const parse = (text: string): Ovf => parseOvf(Buffer.from(text))

const schemas =
  'xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf"'

/** As a vCenter exports a machine with two disks, the second one listed first. */
const vmware = `<?xml version="1.0" encoding="UTF-8"?>
<Envelope ${schemas}>
  <References>
    <File ovf:href="web-1.vmdk" ovf:id="file1" ovf:size="70144"/>
    <File ovf:href="web-2.vmdk" ovf:id="file2" ovf:size="68096"/>
    <File ovf:href="web-3.nvram" ovf:id="file3" ovf:size="8684"/>
  </References>
  <DiskSection>
    <Info>Virtual disk information</Info>
    <Disk ovf:capacity="2" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="vmdisk2" ovf:fileRef="file2" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
    <Disk ovf:capacity="16" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <VirtualSystem ovf:id="web">
    <Name>web &amp; mail</Name>
    <OperatingSystemSection ovf:id="94" vmw:osType="ubuntu64Guest"><Info>The guest</Info></OperatingSystemSection>
    <VirtualHardwareSection>
      <Item><rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>4</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>8192</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:ElementName>Hard disk 2</rasd:ElementName><rasd:HostResource>ovf:/disk/vmdisk2</rasd:HostResource><rasd:InstanceID>10</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Hard disk 1</rasd:ElementName><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>9</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>`

/** As VirtualBox writes it, with a controller of its own kind and a section that only it knows. */
const virtualBox = `<?xml version="1.0"?>
<Envelope ovf:version="1.0" ${schemas} xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References><File ovf:id="file1" ovf:href="box-disk001.vmdk"/></References>
  <DiskSection><Disk ovf:capacity="10737418240" ovf:diskId="vmdisk1" ovf:fileRef="file1"/></DiskSection>
  <VirtualSystem ovf:id="box">
    <OperatingSystemSection ovf:id="80"><Description>Ubuntu_64</Description><vbox:OSType ovf:required="false">Ubuntu_64</vbox:OSType></OperatingSystemSection>
    <VirtualHardwareSection>
      <Item><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item>
      <Item><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>6</rasd:InstanceID><rasd:Parent>5</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
    </VirtualHardwareSection>
    <vbox:Machine><Hardware><Firmware type="BIOS"/></Hardware></vbox:Machine>
  </VirtualSystem>
</Envelope>`

describe('a descriptor', () => {
  test('of VMware: disks in the order of the machine, sizes, names, firmware', () => {
    const { disks, ...machine } = parse(vmware)
    expect(machine).toEqual({
      name: 'web & mail',
      operatingSystem: 'ubuntu64Guest',
      firmware: 'efi',
      memoryMiB: 8192,
      processors: 4,
    })
    expect(disks.map(({ id, name, file }) => [id, name, file])).toEqual([
      ['vmdisk1', 'Hard disk 1', 'web-1.vmdk'],
      ['vmdisk2', 'Hard disk 2', 'web-2.vmdk'],
    ])
    expect(disks[0]).toMatchObject({
      capacityBytes: 16 * 2 ** 30,
      bus: 'scsi',
      controllerModel: 'VirtualSCSI',
    })
  })

  test('of VirtualBox', () => {
    expect(parse(virtualBox)).toMatchObject({
      name: 'box',
      operatingSystem: 'Ubuntu_64',
      firmware: 'bios',
      memoryMiB: 1024,
      disks: [
        { file: 'box-disk001.vmdk', capacityBytes: 10 * 2 ** 30, bus: 'sata', isGzip: false, isDelta: false },
      ],
    })
  })

  test('in UTF-16, which has a mark at its start', () => {
    const wide = Buffer.from(`\uFEFF${virtualBox.replace('<?xml version="1.0"?>', '')}`, 'utf16le')
    expect(parseOvf(wide).name).toBe('box')
  })

  test('a break within a name is a blank, as XML has it', () => {
    const broken = virtualBox.replace('box-disk001.vmdk', 'box\r\ndisk\t001.vmdk')
    expect(parse(broken).disks[0]?.file).toBe('box disk 001.vmdk')
  })

  test('a disk without a machine that has it, one without a file, a delta, one that is compressed again', () => {
    const text = `<Envelope ${schemas}><References><File ovf:id="f" ovf:href="a.gz" ovf:compression="gzip"/></References>
      <DiskSection><Disk ovf:diskId="a" ovf:fileRef="f" ovf:capacity="7"/><Disk ovf:diskId="b" ovf:capacity="999999999999999999"/>
      <Disk ovf:diskId="c" ovf:fileRef="f" ovf:parentRef="a"/></DiskSection></Envelope>`
    expect(parse(text).disks).toMatchObject([
      { id: 'a', file: 'a.gz', capacityBytes: 7, isGzip: true, isDelta: false, bus: undefined },
      { id: 'b', file: undefined, capacityBytes: undefined },
      { id: 'c', isDelta: true },
    ])
  })

  test.each([
    [
      'a document type',
      `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>${virtualBox.slice(21)}`,
      'document type',
    ],
    ['an entity that nobody defined', `<Envelope ${schemas}><Name>&x;</Name></Envelope>`, 'no XML'],
    ['a cut', vmware.slice(0, 700), 'no XML'],
    ['two roots', `${virtualBox}<a/>`, 'no XML'],
    ['other XML', '<domain/>', 'root'],
    ['no text', Buffer.from([0xc3, 0x28]).toString('latin1'), 'no XML'],
    ['endless nesting', '<a>'.repeat(100), 'nested'],
    ['too many disks', `<Envelope ${schemas}>${'<Disk ovf:diskId="a"/>'.repeat(300)}</Envelope>`, 'too many'],
    [
      'a file twice',
      `<Envelope ${schemas}>${'<File ovf:id="a" ovf:href="b"/>'.repeat(2)}</Envelope>`,
      'one id',
    ],
    ['chunks', `<Envelope ${schemas}><File ovf:id="a" ovf:href="b" ovf:chunkSize="7"/></Envelope>`, 'chunks'],
    [
      'a disk without its file',
      `<Envelope ${schemas}><Disk ovf:diskId="a" ovf:fileRef="b"/></Envelope>`,
      'names a file',
    ],
    ['too much', ' '.repeat(longestOvfBytes + 1), 'bytes'],
  ])('with %s is refused', (_what, text, reason) => {
    expect(() => parse(text)).toThrow(reason)
  })

  test('damaged in any place ends in a result or a refusal', () => {
    const bytes = Buffer.from(vmware)
    let seed = 7
    const next = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % below
    const others: unknown[] = []
    for (let round = 0; round < 3000; round += 1) {
      const copy = Buffer.from(bytes)
      for (let count = 0; count <= next(4); count += 1) copy[next(copy.length)] = next(256)
      try {
        parseOvf(copy)
      } catch (error) {
        if (!(error instanceof InvalidError)) others.push(error)
      }
    }
    expect(others).toEqual([])
  })
})

describe('a manifest', () => {
  const hex = (length: number): string => 'aB'.repeat(length / 2)

  test('as VMware, VirtualBox and ovftool write it', () => {
    const text = `SHA256(web.ovf)= ${hex(64)}\r\nSHA1 (a b(1).vmdk) = ${hex(40)}\n\nSHA512(c)=${hex(128)}`
    expect([...parseManifest(Buffer.from(text))]).toEqual([
      ['web.ovf', { algorithm: 'sha256', value: hex(64).toLowerCase() }],
      ['a b(1).vmdk', { algorithm: 'sha1', value: hex(40).toLowerCase() }],
      ['c', { algorithm: 'sha512', value: hex(128).toLowerCase() }],
    ])
  })

  test.each([
    ['no line of it', 'hello'],
    ['an unknown algorithm', `MD5(a)= ${hex(32)}`],
    ['a cut digest', `SHA256(a)= ${hex(62)}`],
    ['a contradiction', `SHA1(a)= ${hex(40)}\nSHA1(a)= ${'0'.repeat(40)}`],
    ['a name of the language', `constructor(a)= ${hex(40)}`],
  ])('with %s is refused', (_what, text) => {
    expect(() => parseManifest(Buffer.from(text))).toThrow('manifest (.mf)')
  })
})
