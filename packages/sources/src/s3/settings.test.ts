import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { s3Settings } from './settings.ts'

let home: string
beforeAll(() => {
  home = mkdtempSync(path.join(tmpdir(), 's3-settings-'))
  mkdirSync(path.join(home, '.aws'))
  writeFileSync(
    path.join(home, '.aws', 'credentials'),
    [
      '[default]',
      'aws_access_key_id = A # mine',
      'aws_secret_access_key=a/+=;b',
      '[work]',
      'AWS_ACCESS_KEY_ID = W',
      'aws_secret_access_key = w',
      'aws_session_token = t',
      '[half]',
      'aws_access_key_id = H',
    ].join('\n'),
  )
  writeFileSync(
    path.join(home, '.aws', 'config'),
    [
      '# [profile none]',
      '[default]',
      'region = eu-north-1',
      '[ profile  work ]',
      'region = eu-west-1\r',
      'services = minio',
      's3 =',
      '  addressing_style = path',
      '  max_concurrent_requests = 10',
      'output = json',
      '[services minio]',
      's3 =',
      '  endpoint_url = https://minio.example:9000',
      'ec2 =',
      '  endpoint_url = https://ec2.example',
      '[profile sso]',
      'sso_session = my',
      'region = us-east-2',
    ].join('\n'),
  )
})
afterAll(() => rmSync(home, { recursive: true }))

const mine = { accessKeyId: 'A', secretAccessKey: 'a/+=;b', sessionToken: undefined }
const work = { accessKeyId: 'W', secretAccessKey: 'w', sessionToken: 't' }
const keys = { AWS_ACCESS_KEY_ID: 'E', AWS_SECRET_ACCESS_KEY: 'e', AWS_SESSION_TOKEN: 's' }
const ofEnvironment = { accessKeyId: 'E', secretAccessKey: 'e', sessionToken: 's' }

test('the default profile', async () => {
  expect(await s3Settings({ environment: { HOME: home } })).toEqual({
    credentials: mine,
    region: 'eu-north-1',
    endpointUrl: undefined,
    addressingStyle: undefined,
  })
})

test('a profile, by option or by variable, with what is nested in it', async () => {
  const expected = {
    credentials: work,
    region: 'eu-west-1',
    endpointUrl: 'https://minio.example:9000',
    addressingStyle: 'path',
  }
  expect(await s3Settings({ environment: { HOME: home }, profile: 'work' })).toEqual(expected)
  expect(await s3Settings({ environment: { HOME: home, AWS_PROFILE: 'work' } })).toEqual(expected)
  // A profile that is asked for counts more than the keys of the environment, as with the AWS command.
  expect(await s3Settings({ environment: { HOME: home, ...keys }, profile: 'work' })).toEqual(expected)
})

test('the environment counts more than files', async () => {
  const environment = {
    HOME: home,
    ...keys,
    AWS_REGION: 'us-west-2',
    AWS_DEFAULT_REGION: 'us-west-1',
    AWS_ENDPOINT_URL: 'https://all.example',
    AWS_ENDPOINT_URL_S3: 'https://s3.example',
  }
  expect(await s3Settings({ environment })).toEqual({
    credentials: ofEnvironment,
    region: 'us-west-2',
    endpointUrl: 'https://s3.example',
    addressingStyle: undefined,
  })
  const ignoring = { ...environment, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' }
  expect(await s3Settings({ environment: ignoring })).toMatchObject({ endpointUrl: undefined })
})

test('files elsewhere, and none at all', async () => {
  const file = path.join(home, 'mine')
  writeFileSync(file, '[default]\naws_access_key_id=F\naws_secret_access_key=f\n')
  const files = { AWS_SHARED_CREDENTIALS_FILE: file, AWS_CONFIG_FILE: '/nowhere' }
  expect(await s3Settings({ environment: { HOME: home, ...files } })).toMatchObject({
    credentials: { accessKeyId: 'F' },
    region: undefined,
  })
  expect(await s3Settings({ environment: {} })).toMatchObject({ credentials: undefined })
})

test.each([
  ['nobody', /^No AWS profile "nobody"/],
  ['half', /^Of aws_access_key_id and aws_secret_access_key the AWS profile half has only one$/],
  ['sso', /by sso_session, which is not done here; run: eval/],
])('the profile %s', async (profile, message) => {
  await expect(s3Settings({ environment: { HOME: home }, profile })).rejects.toThrow(message)
})
