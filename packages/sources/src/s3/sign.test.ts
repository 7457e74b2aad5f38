import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { authorizationOf, emptyPayloadHash, encodeKey, presignS3Url, signS3Request } from './sign.ts'

/** The examples of Amazon's own documentation of S3, with their answers. */
const scope = {
  credentials: {
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  },
  region: 'us-east-1',
  service: 's3',
  date: new Date('2013-05-24T00:00:00Z'),
}
const bucket = 'https://examplebucket.s3.amazonaws.com'
const time = '20130524T000000Z'

test('GET of the first ten bytes', () => {
  const headers = signS3Request('GET', new URL(`${bucket}/test.txt`), { Range: 'bytes=0-9' }, scope)
  expect(headers['Authorization']).toBe(
    'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ' +
      'SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, ' +
      'Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  )
})

test.each([
  ['/?lifecycle', 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
  ['/?max-keys=2&prefix=J', '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
])('GET of %s', (path, signature) => {
  expect(signS3Request('GET', new URL(bucket + path), {}, scope)['Authorization']).toContain(
    `Signature=${signature}`,
  )
})

test('PUT', () => {
  const payloadHash = createHash('sha256').update('Welcome to Amazon S3.').digest('hex')
  const request = {
    method: 'PUT',
    url: new URL(`${bucket}/${encodeKey('test$file.text')}`),
    headers: {
      Date: 'Fri, 24 May 2013 00:00:00 GMT',
      'x-amz-content-sha256': payloadHash,
      'x-amz-date': time,
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
    },
    payloadHash,
  }
  expect(authorizationOf(request, scope)).toContain(
    'Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  )
})

test('a presigned URL', () => {
  const url = presignS3Url(new URL(`${bucket}/test.txt`), 86_400, scope)
  expect(url.href).toBe(
    `${bucket}/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=${time}&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404`,
  )
})

/** From the suite of test vectors for Signature Version 4. */
test.each([
  ['get-vanilla', '/', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
  [
    'get-vanilla-query-order-key-case',
    '/?Param2=value2&Param1=value1',
    'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
  ],
])('%s', (_name, path, signature) => {
  const suite = {
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' },
    region: 'us-east-1',
    service: 'service',
    date: new Date('2015-08-30T12:36:00Z'),
  }
  const url = new URL(`https://example.amazonaws.com${path}`)
  const headers = { 'X-Amz-Date': '20150830T123600Z' }
  expect(authorizationOf({ method: 'GET', url, headers, payloadHash: emptyPayloadHash }, suite)).toBe(
    `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=${signature}`,
  )
})

test('a session token is signed, in headers and in a URL', () => {
  const mine = { ...scope, credentials: { ...scope.credentials, sessionToken: 'a+/b' } }
  const headers = signS3Request('HEAD', new URL(`${bucket}/a`), {}, mine)
  expect(headers).toMatchObject({ 'x-amz-security-token': 'a+/b' })
  expect(headers['Authorization']).toContain('x-amz-date;x-amz-security-token,')
  expect(presignS3Url(new URL(`${bucket}/a`), 60, mine).search).toContain('X-Amz-Security-Token=a%2B%2Fb&')
})

test('a key is encoded byte by byte, but for its slashes', () => {
  expect(encodeKey("a b/ü+(!*')~-._/%")).toBe('a%20b/%C3%BC%2B%28%21%2A%27%29~-._/%25')
})
