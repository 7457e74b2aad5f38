import { describe, expect, it } from 'vitest'
import { guardAddresses, isPublicAddress } from './addresses.ts'

describe('what is not of the public internet', () => {
  it.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '100.100.100.200',
    '127.0.0.1',
    '127.255.255.254',
    '168.63.129.16',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.192',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.51.100.7',
    '203.0.113.7',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '::ffff:0:127.0.0.1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '2002:a9fe:a9fe::1',
    '2002:c0a8:101::1',
    '2606:4700::5efe:10.0.0.1',
    '2606:4700::200:5efe:7f00:1',
    '3fff::1',
    '5f00::1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    'no address',
    '',
  ])('%s', (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })
})

describe('what is', () => {
  it.each([
    '1.1.1.1',
    '100.63.255.255',
    '100.128.0.1',
    '172.15.255.255',
    '172.32.0.1',
    '223.255.255.255',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '2002:808:808::1',
    '2606:4700:4700::1111',
    '2a00:1450::5efe:808:808',
    '2001:4860:4860::8888',
  ])('%s', (address) => {
    expect(isPublicAddress(address)).toBe(true)
  })
})

describe('every spelling of an address in a URL', () => {
  const { check } = guardAddresses({})
  it.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://0x7f.0.0.1/',
    'http://0177.0.0.1/',
    'http://017700000001/',
    'http://127.0.0.1./',
    'http://１２７.0.0.1/',
    'http://127。0。0。1/',
    'http://%31%32%37.0.0.1/',
    'http://0/',
    'http://169.254.169.254/latest/meta-data/',
    'http://0xa9fea9fe/',
    'http://2852039166/',
    'http://[::1]/',
    'http://[0:0:0:0:0:0:0:1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://[::127.0.0.1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[2002:7f00:1::]/',
    'http://[fe80::1]/',
  ])('%s is refused', (url) => {
    expect(() => check(new URL(url))).toThrow(
      expect.objectContaining({ code: 'ADDRESS_REFUSED', rule: 'address' }) as Error,
    )
  })
})

describe('a policy', () => {
  const refused = (rule: string): Error => expect.objectContaining({ code: 'ADDRESS_REFUSED', rule }) as Error

  it('names schemes, hosts and ports', () => {
    const { check } = guardAddresses({ schemes: ['https'], hosts: ['a.test', '*.b.test'], ports: [443] })
    for (const url of ['https://a.test/x', 'https://A.test./', 'https://x.y.b.test/']) {
      expect(() => check(new URL(url))).not.toThrow()
    }
    expect(() => check(new URL('http://a.test/'))).toThrow(refused('scheme'))
    expect(() => check(new URL('file:///etc/passwd'))).toThrow(refused('scheme'))
    for (const url of ['https://b.test/', 'https://xb.test/', 'https://a.test.evil.test/']) {
      expect(() => check(new URL(url))).toThrow(refused('host'))
    }
    expect(() => check(new URL('https://a.test:8443/'))).toThrow(refused('port'))
  })

  it('may allow some private networks, or all', () => {
    const some = guardAddresses({ privateAddresses: ['10.20.0.0/16', '::1'] })
    expect(() => some.check(new URL('http://10.20.1.1/'))).not.toThrow()
    expect(() => some.check(new URL('http://[::1]/'))).not.toThrow()
    expect(() => some.check(new URL('http://10.21.1.1/'))).toThrow(refused('address'))
    const all = guardAddresses({ privateAddresses: true })
    expect(() => all.check(new URL('http://127.0.0.1/'))).not.toThrow()
    expect(all.lookup).toBeUndefined()
  })

  it('refuses a name when one of its addresses is private', async () => {
    const guard = guardAddresses({}, async () => [
      { address: '8.8.8.8', family: 4 },
      { address: '10.0.0.1', family: 4 },
    ])
    await expect(guard.checkName(new URL('http://mixed.test/'))).rejects.toThrow(refused('address'))
    const found = await new Promise((resolve) => {
      guard.lookup?.('mixed.test', { all: true }, (error) => resolve(error))
    })
    expect(found).toMatchObject({ code: 'ADDRESS_REFUSED', host: 'mixed.test' })
  })
})
