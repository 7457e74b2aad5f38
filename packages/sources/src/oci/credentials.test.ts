import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type ProcessRunner } from '@disk-image/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { registryCredentials } from './credentials.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'registry-credentials-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const base64 = (text: string): string => Buffer.from(text).toString('base64')

function fileOf(settings: unknown): string {
  const file = path.join(folder, 'auth.json')
  writeFileSync(file, typeof settings === 'string' ? settings : JSON.stringify(settings))
  return file
}

const find = (
  settings: unknown,
  host: string,
  repository = 'a/b',
  runner?: ProcessRunner,
): Promise<unknown> =>
  registryCredentials({ environment: {}, file: fileOf(settings), runner })(host, repository)

const auths = {
  'quay.io': { auth: base64('me:a:b') },
  'quay.io/a': { auth: base64('part:x') },
  'https://index.docker.io/v1/': { auth: base64('hub:y') },
  'tokens.example': { identitytoken: 'refresh', auth: base64('<token>:') },
  'plain.example:5000': { username: 'u', password: 'p' },
}

test.each([
  ['quay.io', 'c', { username: 'me', password: 'a:b' }],
  ['quay.io', 'a/b', { username: 'part', password: 'x' }],
  ['quay.io', 'ab', { username: 'me', password: 'a:b' }],
  ['registry-1.docker.io', 'library/debian', { username: 'hub', password: 'y' }],
  ['tokens.example', 'a', { identityToken: 'refresh' }],
  ['plain.example:5000', 'a', { username: 'u', password: 'p' }],
  ['plain.example', 'a', undefined],
  ['evil.quay.io', 'a', undefined],
])('%s/%s', async (host, repository, expected) => {
  expect(await find({ auths }, host, repository)).toEqual(expected)
})

test('the usual files, the nearest first', async () => {
  const write = (user: string, ...names: string[]): void => {
    const file = path.join(folder, ...names)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, JSON.stringify({ auths: { [user]: { auth: base64(`${user}:x`) } } }))
  }
  write('run.example', 'run', 'containers', 'auth.json')
  write('config.example', 'home', '.config', 'containers', 'auth.json')
  write('docker.example', 'home', '.docker', 'config.json')
  const environment = { XDG_RUNTIME_DIR: path.join(folder, 'run'), HOME: path.join(folder, 'home') }
  for (const host of ['run.example', 'config.example', 'docker.example']) {
    expect(await registryCredentials({ environment })(host, 'a')).toEqual({ username: host, password: 'x' })
  }
  const only = { ...environment, REGISTRY_AUTH_FILE: path.join(folder, 'run', 'containers', 'auth.json') }
  expect(await registryCredentials({ environment: only })('docker.example', 'a')).toBeUndefined()
  expect(await registryCredentials({ environment: {} })('docker.example', 'a')).toBeUndefined()
})

test('a helper is asked through the runner that is given, with the registry as its input', async () => {
  const asked: unknown[] = []
  const answer = (stdout: string): ProcessRunner => ({
    run: (command, options) => {
      asked.push([command, options?.input])
      return Promise.resolve({ stdout, stderr: '', durationMs: 0 })
    },
  })
  const settings = {
    credHelpers: { 'ecr.example': 'ecr-login' },
    credsStore: 'secretservice',
    auths: { 'b.example': {} },
  }
  const user = answer('{"ServerURL":"x","Username":"u","Secret":"s"}')
  expect(await find(settings, 'ecr.example', 'a', user)).toEqual({ username: 'u', password: 's' })
  expect(await find(settings, 'b.example', 'a', answer('{"Username":"<token>","Secret":"s"}'))).toEqual({
    identityToken: 's',
  })
  expect(asked).toEqual([
    [{ file: 'docker-credential-ecr-login', args: ['get'] }, 'ecr.example'],
    [{ file: 'docker-credential-secretservice', args: ['get'] }, 'b.example'],
  ])
  await expect(find(settings, 'ecr.example')).rejects.toThrow(
    /docker-credential-ecr-login, which is only started where it is named/,
  )
})

test('helpers that are given are asked before any file, and the files name no further ones', async () => {
  const asked: (string | undefined)[] = []
  const runner: ProcessRunner = {
    run: ({ file }, options) => {
      const { input } = options ?? {}
      asked.push(`${file} ${JSON.stringify(input)} ${options?.environment?.['HOME']} ${options?.timeoutMs}`)
      if (file === 'docker-credential-none')
        return Promise.reject(Object.assign(new Error(), { stdout: 'credentials not found' }))
      return Promise.resolve({ stdout: '{"Username":"u","Secret":"s"}', stderr: '', durationMs: 0 })
    },
  }
  const file = fileOf({ credsStore: 'evil', auths: { 'a.example': { auth: base64('f:f') } } })
  const helpers = { 'docker.io': 'hub', 'b.example': 'b', '*': 'none' }
  const credentials = registryCredentials({ environment: { HOME: '/home/me' }, file, runner, helpers })
  expect(await credentials('registry-1.docker.io', 'x')).toEqual({ username: 'u', password: 's' })
  expect(await credentials('b.example', 'x')).toEqual({ username: 'u', password: 's' })
  expect(await credentials('a.example', 'x')).toEqual({ username: 'f', password: 'f' })
  await expect(credentials('c.example', 'x')).rejects.toThrow(/docker-credential-evil, which is only started/)
  expect(asked).toEqual([
    'docker-credential-hub "https://index.docker.io/v1/" /home/me 30000',
    'docker-credential-b "b.example" /home/me 30000',
    'docker-credential-none "a.example" /home/me 30000',
    'docker-credential-none "c.example" /home/me 30000',
  ])
})

test('what a helper says when it fails stays out of the error', async () => {
  const failing = (stdout: string): ProcessRunner => ({
    run: () => Promise.reject(Object.assign(new Error(`exit 1: ${stdout}`), { stdout })),
  })
  const settings = { credsStore: 'pass' }
  expect(
    await find(settings, 'a.example', 'a', failing('credentials not found in native keychain')),
  ).toBeUndefined()
  const error: unknown = await find(settings, 'a.example', 'a', failing('geheim')).catch(
    (reason: unknown) => reason,
  )
  expect(String(error)).toMatch(/docker-credential-pass gave no credentials/)
  expect(JSON.stringify(error) + String((error as Error).cause)).not.toContain('geheim')
})

test.each([
  ['no JSON', '{"auths": geheim', /are no JSON$/],
  ['no user', { auths: { 'a.example': { auth: base64('geheim') } } }, /has no user and password/],
  ['a helper that is a path', { credsStore: '../../bin/sh' }, /no possible name/],
  ['too deep', '['.repeat(100_000), /are no JSON$/],
  ['too long', ' '.repeat(2 ** 20 + 1), /more than 1048576 bytes/],
])('refused without repeating it: %s', async (_what, settings, message) => {
  const error: unknown = await find(settings, 'a.example').catch((reason: unknown) => reason)
  expect((error as Error).message).toMatch(message)
  expect((error as Error).message).not.toContain('geheim')
})
