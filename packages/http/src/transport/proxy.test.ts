import { describe, expect, it } from 'vitest'
import { chooseProxy, proxyFromEnvironment } from './proxy.ts'

describe('proxyFromEnvironment', () => {
  it.each([
    [{}, undefined],
    [{ http_proxy: '' }, undefined],
    [{ no_proxy: '*' }, undefined],
    [{ http_proxy: 'http://p:1' }, { http: 'http://p:1' }],
    [
      { HTTP_PROXY: 'http://p:1', HTTPS_PROXY: 'http://p:2' },
      { http: 'http://p:1', https: 'http://p:2' },
    ],
    [{ http_proxy: 'a:1', HTTP_PROXY: 'b:1' }, { http: 'a:1' }],
    [{ https_proxy: '', HTTPS_PROXY: 'b:1' }, undefined],
    [{ all_proxy: 'a:1' }, { http: 'a:1', https: 'a:1' }],
    [
      { ALL_PROXY: 'a:1', https_proxy: 'b:1' },
      { http: 'a:1', https: 'b:1' },
    ],
    [{ HTTP_PROXY: 'attacker:1', REQUEST_METHOD: 'GET', HTTPS_PROXY: 'b:1' }, { https: 'b:1' }],
    [{ http_proxy: 'a:1', REQUEST_METHOD: 'GET' }, { http: 'a:1' }],
    [
      { http_proxy: 'a:1', no_proxy: 'x', NO_PROXY: 'y' },
      { http: 'a:1', noProxy: 'x' },
    ],
    [
      { http_proxy: 'a:1', NO_PROXY: 'y' },
      { http: 'a:1', noProxy: 'y' },
    ],
  ] as const)('%j', (environment, expected) => {
    expect(proxyFromEnvironment(environment)).toEqual(expected)
  })
})

describe('chooseProxy', () => {
  const through = (target: string, noProxy: string): boolean =>
    chooseProxy({ http: 'http://p:1', https: 'http://p:1', noProxy }, new URL(target)) !== undefined

  it.each([
    ['https://glance.example', '*'],
    ['https://glance.example', 'glance.example'],
    ['https://glance.example', 'other, GLANCE.Example'],
    ['https://glance.example', 'other glance.example'],
    ['https://glance.example.', 'glance.example'],
    ['https://glance.example', 'glance.example.'],
    ['https://glance.cloud.example', 'example'],
    ['https://glance.cloud.example', '.cloud.example'],
    ['https://cloud.example', '.cloud.example'],
    ['https://glance.cloud.example', '*.cloud.example'],
    ['https://glance.example', 'glance.example:443'],
    ['http://glance.example', 'glance.example:80'],
    ['http://glance.example:9292', 'glance.example:9292'],
    ['http://localhost:9292', 'localhost,127.0.0.1'],
    ['http://10.1.2.3:9292', '10.1.2.3'],
    ['http://10.1.2.3:9292', '10.0.0.0/8'],
    ['http://10.1.2.3:9292', '10.1.2.3:9292'],
    ['http://[2001:db8::1]:9292', '2001:db8::1'],
    ['http://[2001:db8::1]:9292', '2001:db8:0:0::1'],
    ['http://[2001:db8::1]:9292', '[2001:db8::1]'],
    ['http://[2001:db8::1]:9292', '[2001:db8::1]:9292'],
    ['http://[2001:db8::1]:9292', '2001:db8::/32'],
  ])('reaches %s directly with no_proxy=%s', (target, noProxy) => {
    expect(through(target, noProxy)).toBe(false)
  })

  it.each([
    ['https://glance.example', ''],
    ['https://glance.example', ' , ,'],
    ['https://glance.example', '.'],
    ['https://myglance.example', 'glance.example'],
    ['https://glance.example', 'sub.glance.example'],
    ['https://glance.example', 'glance.example:8443'],
    ['https://example.com', 'example'],
    ['http://127.0.0.1', 'localhost'],
    ['http://10.1.2.3', '1.2.3'],
    ['http://10.1.2.3', '10.1.2.3:9292'],
    ['http://11.1.2.3', '10.0.0.0/8'],
    ['http://10.1.2.3', '10.0.0.0/33'],
    ['http://10.1.2.3', '10.0.0.0/x'],
    ['http://[2001:db8::1]', '2001:db9::/32'],
    ['http://[2001:db8::1]', '10.0.0.0/8'],
  ])('reaches %s through the proxy with no_proxy=%s', (target, noProxy) => {
    expect(through(target, noProxy)).toBe(true)
  })

  it('takes user name and password out of the URL', () => {
    const options = { https: 'http://us%40er:p%3Ass@proxy.example:3128/ignored' }
    expect(chooseProxy(options, new URL('https://h'))).toEqual({
      url: new URL('http://proxy.example:3128'),
      authorization: `Basic ${Buffer.from('us@er:p:ss').toString('base64')}`,
    })
    expect(chooseProxy(options, new URL('http://h'))).toBeUndefined()
    expect(chooseProxy({ http: 'proxy:3128' }, new URL('http://h'))?.url.href).toBe('http://proxy:3128/')
    expect(chooseProxy({ http: 'http://[::1]:3128' }, new URL('http://h'))?.url.host).toBe('[::1]:3128')
  })

  it.each([
    'socks5://u:secret@p:1080',
    'socks5h://p:1080',
    'ftp://u:secret@p',
    'http://u:secret@p:99999',
    '://',
  ])('refuses %s where it is needed, without its password', (proxy) => {
    const options = { http: proxy, noProxy: 'inside' }
    expect(chooseProxy(options, new URL('http://inside'))).toBeUndefined()
    expect(() => chooseProxy(options, new URL('http://h'))).toThrow(/^The proxy (?!.*secret)/)
  })
})
