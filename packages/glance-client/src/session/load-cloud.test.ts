import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { normalizeEndpoint } from '../client-options.ts'
import { endpointFromCatalog } from './catalog.ts'
import { tokenScope } from './identity.ts'
import { loadCloud } from './load-cloud.ts'

let directory: string
let first: string
let second: string

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'glance-client-clouds-'))
  first = path.join(directory, 'first')
  second = path.join(directory, 'second')
  await mkdir(first)
  await mkdir(second)
  const clouds = `
clouds:
  a:
    profile: vendor
    auth: { username: u, project_name: p }
    region_name: one
    regions: [one, { name: two, values: { auth: { auth_url: 'http://two/v3' } } }]
  b: { auth: { auth_url: 'http://{region_name}.b/v3', password: '{region_name}' }, region_name: rb }
`
  await writeFile(path.join(first, 'clouds.yml'), clouds)
  await writeFile(path.join(second, 'clouds.yaml'), 'clouds: { c: {} }')
  await writeFile(path.join(second, 'secure.yaml'), 'clouds: { a: { auth: { password: s, username: v } } }')
  await writeFile(
    path.join(second, 'clouds-public.yaml'),
    'public-clouds: { vendor: { auth: { auth_url: http://vendor/v3, username: w }, interface: internal } }',
  )
})

afterAll(() => rm(directory, { recursive: true }))

describe('loadCloud', () => {
  const load = (
    environment: Record<string, string>,
    more: { cloud?: string; region?: string } = {},
  ): ReturnType<typeof loadCloud> => loadCloud({ environment, directories: [first, second], ...more })

  it('merges profile, file and secrets, in that order', async () => {
    const { name, settings } = await load({ OS_CLOUD: 'a', OS_PASSWORD: 'not this' })
    expect(name).toBe('a')
    expect(settings).toMatchObject({
      interface: 'internal',
      region_name: 'one',
      auth: { auth_url: 'http://vendor/v3', username: 'v', password: 's', project_name: 'p' },
    })
  })

  it('takes a region and an interface from the environment, and nothing else', async () => {
    const environment = { OS_CLOUD: 'a', OS_REGION_NAME: 'two', OS_INTERFACE: 'admin' }
    const { settings } = await load(environment)
    expect(settings).toMatchObject({
      region_name: 'two',
      interface: 'admin',
      auth: { auth_url: 'http://two/v3' },
    })
    await expect(load(environment, { region: 'three' })).rejects.toThrow(/one, two/)
  })

  it('fills in references, but not in secrets', async () => {
    const { settings } = await load({}, { cloud: 'b' })
    expect(settings['auth']).toEqual({ auth_url: 'http://rb.b/v3', password: '{region_name}' })
  })

  it('says which clouds there are', async () => {
    await expect(load({})).rejects.toThrow(/a, b/)
    await expect(load({}, { cloud: 'z' })).rejects.toThrow(/"z".*a, b/)
    await expect(loadCloud({ environment: {}, directories: [] })).rejects.toThrow(/no clouds\.yaml/)
  })

  it('makes a cloud of variables, before a file', async () => {
    const { name, settings } = await load({
      OS_AUTH_URL: 'http://k/v3',
      OS_TENANT_NAME: 't',
      OS_REGION_NAME: 'r',
    })
    expect(name).toBe('envvars')
    expect(settings).toMatchObject({ region_name: 'r', auth: { auth_url: 'http://k/v3', tenant_name: 't' } })
  })

  it('takes the only entry, and refuses a broken file that was named', async () => {
    expect((await loadCloud({ environment: {}, directories: [second] })).name).toBe('c')
    const broken = path.join(directory, 'broken.yaml')
    await writeFile(broken, 'clouds: [secret-password')
    const error = await load({ OS_CLIENT_CONFIG_FILE: broken }).catch((error: unknown) => error as Error)
    expect((error as Error).message).toContain('broken.yaml')
    expect((error as Error).message).not.toContain('secret-password')
  })
})

describe('endpoints', () => {
  it.each([
    ['http://h:9292', 'http://h:9292'],
    ['http://h:9292/', 'http://h:9292'],
    ['http://h/v2', 'http://h'],
    ['http://h/v2.16/', 'http://h'],
    ['https://h/image', 'https://h/image'],
    ['https://h/image/v2/', 'https://h/image'],
    ['http://[::1]:9292/v2', 'http://[::1]:9292'],
    ['h:9292', 'http://h:9292'],
  ])('%s is %s', (url, expected) => {
    expect(normalizeEndpoint(url)).toBe(expected)
  })

  it('come from the catalog by type, interface and region', () => {
    const catalog = [
      {
        type: 'image',
        endpoints: [
          { interface: 'internal', region_id: 'a', url: 'http://ia/v2' },
          { interface: 'publicURL', region: 'b', url: 'http://pb' },
        ],
      },
    ]
    const choice = { serviceType: 'image', interfaces: ['public', 'internal'] }
    expect(endpointFromCatalog(catalog, { ...choice, region: 'a' })).toBe('http://ia')
    expect(endpointFromCatalog(catalog, choice)).toBe('http://pb')
    expect(() => endpointFromCatalog(catalog, { ...choice, region: 'c' })).toThrow(/it is in: a, b/)
    expect(() => endpointFromCatalog(catalog, { ...choice, serviceType: 'volume' })).toThrow(/it has: image/)
  })

  it('never get a token with two scopes', () => {
    expect(() => tokenScope({ projectId: 'p', systemScope: 'all' })).toThrow(/one scope/)
    expect(tokenScope({ projectName: 'p', defaultDomainId: 'default' })).toEqual({
      project: { name: 'p', domain: { id: 'default' } },
    })
  })
})
