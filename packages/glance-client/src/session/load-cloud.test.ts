import path from 'node:path'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { endpointFromCatalog } from './catalog.ts'
import { tokenScope } from './identity.ts'
import { loadCloud } from './load-cloud.ts'
import { loadSession } from './load-session.ts'
import { normalizeEndpoint } from './session.ts'

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

describe('configuration files', () => {
  let folder: string
  let later: string
  let logged: { message: string; fields: Record<string, unknown> }[]
  const write = (name: string, text: string | Uint8Array): Promise<void> =>
    writeFile(path.join(folder, name), text)
  const load = (environment: Record<string, string> = {}, cloud?: string): ReturnType<typeof loadCloud> =>
    loadCloud({
      environment: { HOME: folder, ...environment },
      workingDirectory: folder,
      directories: [folder, later],
      cloud,
      logger: {
        debug: () => undefined,
        info: () => undefined,
        warn: (message, fields) => void logged.push({ message, fields: fields ?? {} }),
        error: () => undefined,
      },
    })

  beforeEach(async () => {
    folder = await mkdtemp(path.join(directory, 'files-'))
    later = path.join(folder, 'later')
    await mkdir(later)
    await writeFile(path.join(later, 'clouds.yaml'), 'clouds: { later: {} }')
    logged = []
  })

  it('that are broken are refused with file and line, not passed over', async () => {
    await write('clouds.yaml', 'clouds:\n  a:\n\tauth: secret')
    await expect(load()).rejects.toThrow(`${folder}/clouds.yaml is broken: line 3: a tab is used`)
    await write('clouds.yaml', '- a')
    await expect(load()).rejects.toThrow(/clouds\.yaml is broken: line 1: it must be a mapping/)
    await write('clouds.yaml', 'a: 1\nclouds: [b]')
    await expect(load()).rejects.toThrow(/clouds\.yaml is broken: line 2: clouds must be a mapping/)
    await write('clouds.yaml', 'clouds:\n  a: text')
    await expect(load()).rejects.toThrow(
      /clouds\.yaml, line 2: the cloud must be a mapping \(the cloud "a"\)/,
    )
    await write('clouds.yaml', 'clouds:\n  a:\n    auth: text')
    await expect(load()).rejects.toThrow(/clouds\.yaml, line 2: auth must be a mapping/)
    await write('clouds.yaml', Buffer.from('clouds:\n  a: \xe9', 'latin1'))
    await expect(load()).rejects.toThrow(/line 2: it is not UTF-8/)
    await write('clouds.yaml', `#${' '.repeat(1024 * 1024)}`)
    await expect(load()).rejects.toThrow(/longer than 1 MiB/)
    await write('clouds.yaml', 'clouds: {a: {}}')
    await write('secure.yaml', 'clouds: {a: ')
    await expect(load()).rejects.toThrow(/secure\.yaml is broken: line 1/)
  })

  it('that can not be opened are named', async () => {
    await mkdir(path.join(folder, 'clouds.yaml'))
    expect((await load()).name).toBe('later')
    await expect(load({}, 'other')).rejects.toThrow(
      /no cloud "other"; there are: later \(.*later\/clouds\.yaml; could not be read: .*\/clouds\.yaml \(EISDIR/,
    )
    expect(logged.slice(0, 1)).toEqual([
      {
        message: expect.stringContaining('passed over') as string,
        fields: { file: path.join(folder, 'clouds.yaml'), reason: 'EISDIR, it is a folder' },
      },
    ])
  })

  it('that are empty end the search, and are named', async () => {
    await write('clouds.yaml', '# nothing yet\n')
    await expect(load()).rejects.toThrow(/clouds\.yaml has none below clouds/)
    await expect(load({}, 'later')).rejects.toThrow(/no cloud "later"; there are: none \(.*clouds\.yaml\)/)
    expect(logged.map(({ message }) => message)).toContain('A configuration file is empty')
  })

  it('that say something twice are read as the last says, with a warning', async () => {
    await write('clouds.yaml', 'clouds:\n  a:\n    region_name: one\n    region_name: two\n')
    expect((await load()).settings).toMatchObject({ region_name: 'two' })
    expect(logged[0]?.fields['reason']).toContain('line 4: the key "region_name" stands in line 3')
  })

  it('are found where a variable says, with ~ and variables, and must be there', async () => {
    await write('mine.yaml', 'clouds: { mine: {} }')
    for (const file of ['~/mine.yaml', '$HOME/mine.yaml', '${HOME}/mine.yaml', 'mine.yaml']) {
      expect((await load({ OS_CLIENT_CONFIG_FILE: file })).name).toBe('mine')
    }
    for (const name of ['OS_CLIENT_CONFIG_FILE', 'OS_CLIENT_SECURE_FILE']) {
      await expect(load({ [name]: '~/none.yaml' })).rejects.toThrow(
        `${folder}/none.yaml (${name}) could not be read`,
      )
    }
    await write('vendor.yaml', 'public-clouds: { v: { region_name: from-vendor } }')
    await write('clouds.yaml', 'clouds: { a: { profile: v } }')
    expect((await load({ OS_CLIENT_VENDOR_FILE: 'vendor.yaml' })).settings).toMatchObject({
      region_name: 'from-vendor',
    })
  })

  it('may ask for a profile that nobody knows only where the cloud says where it is', async () => {
    await write(
      'clouds.yaml',
      'clouds:\n  a: { profile: odd, auth: { auth_url: http://a/v3 } }\n  b: { profile: odd }\n  c: { profile: https://vendor.example }',
    )
    expect((await load({}, 'a')).settings['auth']).toEqual({ auth_url: 'http://a/v3' })
    expect(logged[0]?.message).toMatch(/no profile "odd"/)
    await expect(load({}, 'b')).rejects.toThrow(
      /no profile "odd".*\(the cloud "b", in .*clouds\.yaml, line 3\)/,
    )
    await expect(load({}, 'c')).rejects.toThrow(/a URL, which is not fetched/)
  })

  it('are changed by few variables, and variables that describe nothing make no cloud', async () => {
    await write('clouds.yaml', 'clouds: { a: { cacert: own.pem, endpoint_type: public } }')
    const environment = { OS_CACERT: 'other.pem', OS_INTERFACE: 'internal', OS_IDENTITY_API_VERSION: '3' }
    const { name, settings } = await load(environment)
    expect(name).toBe('a')
    expect(settings).toMatchObject({ cacert: 'other.pem', interface: 'internal', endpoint_type: 'internal' })
  })

  it('name the line of a cloud that lacks something', async () => {
    await write(
      'clouds.yaml',
      'clouds:\n  a:\n    auth: { auth_url: http://k/v3, username: u, user_domain_name: d }\n',
    )
    const error = await loadSession({ environment: {}, directories: [folder] }).catch(
      (error: unknown) => error,
    )
    expect((error as { code?: string }).code).toBe('CONFIGURATION')
    expect((error as Error).message).toBe(
      `The auth type password needs password (the cloud "a", in ${folder}/clouds.yaml, line 2)`,
    )
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
