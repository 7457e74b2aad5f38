import path from 'node:path'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import {
  createGlanceClient,
  createGlanceImageService,
  createSession,
  loadSession,
} from '@disk-image/glance-client'
import type { GlanceClient, Session } from '@disk-image/glance-client'
import {
  certificatesInBarbican,
  createSignatureVerifier,
  verifyImageSignature,
} from '@disk-image/glance-client/signature'
import { makeSignedImage, requireTool, startGlance } from '@disk-image/testing'
import type { RunningGlance, SigningKey } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startFaultProxy } from './fault-proxy.ts'
import { keeper, makeImage, quick, randomData, sourceOf } from './helpers.ts'

const run = promisify(execFile)
const data = randomData(5_000_001)
let glance: RunningGlance
let directory: string
let imageId: string

function cloud(name: string, more: Record<string, string> = {}): Promise<{ session: Session }> {
  return loadSession({
    environment: { OS_CLIENT_CONFIG_FILE: glance.cloudsFile, ...more },
    cloud: name,
    directories: [],
  })
}

async function clientOf(name: string): Promise<GlanceClient> {
  return createGlanceClient({ session: (await cloud(name)).session })
}

beforeAll(async () => {
  glance = await startGlance({ mode: 'keystone', stores: 'multi', barbican: true, secureRbac: true })
  directory = await mkdtemp(path.join(tmpdir(), 'glance-client-sessions-'))
  await using client = await clientOf('demo')
  imageId = await makeImage(client, data)
})

afterAll(async () => {
  await glance?.stop()
  await rm(directory, { recursive: true, force: true })
})

describe('sessions', () => {
  it.each(['demo', 'appcred', 'noversion', 'admin-in-demo'])('sign in as %s and read', async (name) => {
    await using client = await clientOf(name)
    const sink = keeper()
    expect(await client.download(imageId, sink, { verify: 'strict' })).toMatchObject({
      hash: { verified: true },
    })
    expect(sink.bytes().equals(data)).toBe(true)
  })

  it('sign in from OS_* variables, an application credential without its type among them', async () => {
    const { environment } = glance
    const { OS_CLIENT_CONFIG_FILE: _, ...variables } = environment
    const {
      X_APP_CRED_ID: id,
      X_APP_CRED_SECRET: secret,
      OS_AUTH_URL: url,
      OS_PROJECT_NAME: leftOver,
    } = environment
    const other = {
      OS_AUTH_URL: url,
      OS_APPLICATION_CREDENTIAL_ID: id,
      OS_APPLICATION_CREDENTIAL_SECRET: secret,
      OS_PROJECT_NAME: leftOver,
    }
    for (const given of [variables, other]) {
      const { session, cloud: name } = await loadSession({ environment: given, directories: [] })
      expect(name).toBe('envvars')
      await using client = createGlanceClient({ session })
      expect((await client.show(imageId)).status).toBe('active')
    }
  })

  it('take a token, a user id, a project id and a trusted certificate in any of their forms', async () => {
    const {
      OS_AUTH_URL: authUrl,
      OS_PASSWORD: password,
      OS_PROJECT_ID: projectId,
      X_DEMO_USER_ID: userId,
    } = glance.environment
    const session = createSession({ auth: { authUrl, userId, password, projectId } })
    const { headers } = await session.authorize(undefined)
    const token = headers['X-Auth-Token']!
    const again = createSession({ authType: 'token', auth: { authUrl, token, projectId } })
    await using client = createGlanceClient({ session: again })
    expect((await client.show(imageId)).id).toBe(imageId)
    await using admin = createGlanceClient({
      session: createSession({ authType: 'admin_token', auth: { token, endpoint: `${glance.url}/v2/` } }),
    })
    expect((await admin.show(imageId)).id).toBe(imageId)
    // A caller's own token goes before the session's.
    await using anonymous = createGlanceClient({ endpoint: glance.url })
    expect((await anonymous.show(imageId, { context: { authToken: token } })).id).toBe(imageId)
    await expect(anonymous.show(imageId)).rejects.toMatchObject({ code: 'IMAGE_NOT_AUTHORIZED' })
    const multi = createSession({
      authType: 'v3multifactor',
      auth: { authUrl, userId, password, projectId, authMethods: ['v3password'] },
    })
    expect((await multi.endpoints('image'))[0]).toBe(glance.url)
  })

  it('tell in plain words what is wrong', async () => {
    await expect(cloud('nope')).rejects.toThrow(
      /there are: admin, admin-in-demo, appcred, demo, noversion, other/,
    )
    const dead = await cloud('demo', { OS_REGION_NAME: 'Nowhere' })
    await expect(dead.session.endpoints('image')).rejects.toThrow(/RegionOne, RegionTwo/)
    const two = await cloud('demo', { OS_REGION_NAME: 'RegionTwo' })
    expect(await two.session.endpoints('image')).toEqual(['http://127.0.0.1:9'])
    const wrong = createSession({
      auth: {
        authUrl: glance.environment['OS_AUTH_URL'],
        username: 'demo',
        password: 'not-this-one',
        userDomainId: 'default',
      },
    })
    const error = await wrong.authorize(undefined).catch((error: unknown) => error as Error)
    expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED' })
    expect((error as Error).message).not.toContain('not-this-one')
    expect(() => createSession({ authType: 'v3kerberos' })).toThrow(/v3kerberos.*password, token/s)
  })

  it('renew a revoked token once for all who wait, and repeat an upload with all of its data', async () => {
    await using proxy = await startFaultProxy(glance.keystoneUrl!)
    const { OS_PASSWORD: password, OS_PROJECT_ID: projectId, X_DEMO_USER_ID: userId } = glance.environment
    const session = createSession({ auth: { authUrl: `${proxy.url}/v3`, userId, password, projectId } })
    await using front = await startFaultProxy(glance.url)
    await using client = createGlanceClient({ session, endpoint: front.url, ...quick })
    await client.show(imageId)
    const refuse = (token: string): void => {
      front.rule = ({ head }) =>
        head.includes(token)
          ? { kind: 'answer', text: 'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n' }
          : { kind: 'pass' }
    }
    refuse((await session.authorize(undefined)).headers['X-Auth-Token']!)
    const signIns = proxy.seen.length
    await Promise.all(Array.from({ length: 6 }, () => client.show(imageId)))
    expect(proxy.seen.length).toBe(signIns + 1)

    // Refused at the upload itself, where other clients leave an empty image.
    const { id } = await client.create({ name: 'x', disk_format: 'raw', container_format: 'bare' })
    const second = (await session.authorize(undefined)).headers['X-Auth-Token']!
    front.rule = ({ method, head }) =>
      method === 'PUT' && head.includes(second)
        ? { kind: 'answer', text: 'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n' }
        : { kind: 'pass' }
    const report = await client.upload(id, sourceOf(data))
    expect(report).toMatchObject({ bytes: data.length, hash: { verified: true } })
    expect(await client.show(id)).toMatchObject({ status: 'active', size: data.length })
  })

  it('ask once only where every token is refused', async () => {
    await using keystone = await startFaultProxy(glance.keystoneUrl!)
    await using front = await startFaultProxy(glance.url)
    front.rule = () => ({ kind: 'answer', text: 'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n' })
    const { OS_PASSWORD: password, OS_PROJECT_ID: projectId, X_DEMO_USER_ID: userId } = glance.environment
    const session = createSession({ auth: { authUrl: `${keystone.url}/v3`, userId, password, projectId } })
    await using client = createGlanceClient({ session, endpoint: front.url, ...quick })
    await expect(client.show(imageId)).rejects.toMatchObject({ code: 'IMAGE_NOT_AUTHORIZED' })
    await expect(client.download(imageId, keeper())).rejects.toMatchObject({ code: 'IMAGE_NOT_AUTHORIZED' })
    expect(keystone.seen.length).toBe(3)
  })
})

describe('accounts', () => {
  it('share images with members, and see no others', async () => {
    await using demo = await clientOf('demo')
    await using other = await clientOf('other')
    await expect(other.show(imageId)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    await expect(other.download(imageId, keeper())).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    const project = glance.environment['X_OTHER_PROJECT_ID']!
    await demo.addMember(imageId, project)
    await expect(demo.updateMember(imageId, project, 'accepted')).rejects.toMatchObject({
      code: 'IMAGE_NOT_AUTHORIZED',
    })
    expect(await other.updateMember(imageId, project, 'accepted')).toMatchObject({ status: 'accepted' })
    expect(await demo.listMembers(imageId)).toMatchObject([{ member_id: project, status: 'accepted' }])
    expect((await other.show(imageId)).id).toBe(imageId)
    await demo.removeMember(imageId, project)
  })

  it('meet a deactivated image and a protected one', async () => {
    await using demo = await clientOf('demo')
    await using admin = await clientOf('admin')
    const id = await makeImage(demo, data.subarray(0, 1000), { protected: true })
    await expect(demo.delete(id)).rejects.toThrow(/protected/)
    await admin.deactivate(id)
    await expect(demo.download(id, keeper())).rejects.toMatchObject({ code: 'IMAGE_NOT_AUTHORIZED' })
    await admin.reactivate(id)
    await demo.update(id, { protected: false })
    await demo.delete(id)
  })
})

describe('imports', () => {
  it('imports what was staged and what is on the web, and knows when that fails', async () => {
    await using client = await clientOf('demo')
    const staged = await makeImage(client, undefined)
    await client.stage(staged, sourceOf(data))
    await client.import(staged, { method: { name: 'glance-direct' }, stores: ['fast'] })
    expect((await client.waitForImport(staged, { intervalMs: 50 })).size).toBe(data.length)
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/there' ? 200 : 404
      response.end(request.url === '/there' ? data : undefined)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const there = await makeImage(client, undefined)
    await client.import(there, { method: { name: 'web-download', uri: `${base}/there` } })
    await client.waitForImport(there, { intervalMs: 50 })
    const sink = keeper()
    await client.download(there, sink, { verify: 'strict' })
    expect(sink.bytes().equals(data)).toBe(true)
    const missing = await makeImage(client, undefined)
    await client.import(missing, { method: { name: 'web-download', uri: `${base}/missing` } })
    await expect(client.waitForImport(missing, { intervalMs: 50, timeoutMs: 20_000 })).rejects.toMatchObject({
      code: 'IMAGE_IMPORT_FAILED',
    })
    server.close()
  })

  it('copies to another store, and deletes from one', async () => {
    await using client = await clientOf('demo')
    await using admin = await clientOf('admin')
    const { id } = await client.create({ name: 's', disk_format: 'raw', container_format: 'bare' })
    await client.upload(id, sourceOf(data), { storeId: 'slow' })
    await admin.import(id, { method: { name: 'copy-image' }, stores: ['fast'] })
    const seen: string[] = []
    const copied = await client.waitForImport(id, {
      stores: ['fast'],
      timeoutMs: 30_000,
      intervalMs: 50,
      onImportProgress: ({ status }) => void seen.push(status),
    })
    expect(copied.stores).toContain('fast')
    expect(seen.length).toBeGreaterThan(0)
    await admin.deleteFromStore(id, 'slow')
    expect((await client.show(id)).stores).toBe('fast')
  })
})

describe('signatures', () => {
  const keys: [SigningKey, string][] = [
    ['rsa', 'SHA-256'],
    ['rsa', 'SHA-512'],
    ['dsa', 'SHA-256'],
    ['secp384r1', 'SHA-384'],
    ['secp521r1', 'SHA-512'],
    ['sect409k1', 'SHA-224'],
    ['sect409r1', 'SHA-256'],
    ['sect571k1', 'SHA-384'],
    ['sect571r1', 'SHA-512'],
  ]
  it.each(keys)('of %s with %s are verified while the image is downloaded', async (key, hash) => {
    const file = path.join(directory, 'signed.img')
    await writeFile(file, data)
    const id = await makeSignedImage(glance, file, key, hash)
    const { session } = await cloud('demo')
    await using service = createGlanceImageService({ session })
    await using certificates = certificatesInBarbican({ session })
    const record = await service.show({}, id)
    await using verifier = await createSignatureVerifier({}, record, certificates, { strictCurve: true })
    await service.download({}, id, { write: (bytes) => verifier!.write(bytes) })
    await verifier!.verify()
    const wrong = Buffer.from(data)
    wrong[17] = wrong[17]! ^ 1
    await expect(
      verifyImageSignature({}, record, sourceOf(wrong).open(), certificates, { inPlace: true }),
    ).rejects.toMatchObject({ code: 'IMAGE_SIGNATURE_VERIFICATION_FAILED' })
  })

  it('need a certificate that is one', async () => {
    const { session } = await cloud('demo')
    await using certificates = certificatesInBarbican({ session })
    const image = {
      id: 'i',
      properties: {
        img_signature: 'aGVsbG8=',
        img_signature_hash_method: 'SHA-256',
        img_signature_key_type: 'RSA-PSS',
        img_signature_certificate_uuid: '00000000-0000-0000-0000-000000000000',
      },
    }
    await expect(createSignatureVerifier({}, image, certificates)).rejects.toMatchObject({
      code: 'IMAGE_SIGNATURE_VERIFICATION_FAILED',
    })
  })
})

describe('other clients', () => {
  it('read what this one wrote, and this one what they wrote', async () => {
    requireTool('glance', 'python3-glanceclient')
    requireTool('openstack', 'python3-openstackclient')
    await using client = await clientOf('demo')
    const file = path.join(directory, 'peer.img')
    const saved = path.join(directory, 'saved.img')
    await writeFile(file, data)
    const environment = { PATH: '/usr/bin:/bin', HOME: directory, LC_ALL: 'C.UTF-8' }
    const { OS_CLIENT_CONFIG_FILE: clouds, ...variables } = glance.environment
    const openstack = async (...args: string[]): Promise<string> =>
      (
        await run('/usr/bin/openstack', ['--os-cloud', 'demo', ...args], {
          env: { ...environment, OS_CLIENT_CONFIG_FILE: clouds },
        })
      ).stdout
    const glanceCommand = async (...args: string[]): Promise<string> =>
      (await run('/usr/bin/glance', args, { env: { ...environment, ...variables } })).stdout

    await openstack('image', 'save', '--file', saved, imageId)
    expect((await readFile(saved)).equals(data)).toBe(true)
    await glanceCommand('image-download', '--file', `${saved}2`, imageId)
    expect((await readFile(`${saved}2`)).equals(data)).toBe(true)

    const made = await openstack(
      'image',
      'create',
      '--disk-format',
      'raw',
      '--file',
      file,
      '-f',
      'value',
      '-c',
      'id',
      'by-openstack',
    )
    const listed = await glanceCommand(
      'image-create',
      '--disk-format',
      'raw',
      '--container-format',
      'bare',
      '--name',
      'by-glance',
      '--file',
      file,
    )
    const id = /\| id +\| ([0-9a-f-]{36})/.exec(listed)?.[1] ?? ''
    for (const theirs of [made.trim(), id]) {
      const sink = keeper()
      await client.download(theirs, sink, { verify: 'strict' })
      expect(sink.bytes().equals(data)).toBe(true)
    }
  })
})
