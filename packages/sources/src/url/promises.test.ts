import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { promisesOf } from './promises.ts'

const hex = (algorithm: string): string => createHash(algorithm).update('disk').digest('hex')
const base64 = (algorithm: string): string => createHash(algorithm).update('disk').digest('base64')
const md5 = { algorithm: 'md5', value: hex('md5') }
const sha256 = { algorithm: 'sha256', value: hex('sha256') }
const crc32c = { algorithm: 'crc32c', value: '9f4df1e8' }
const of = (headers: Record<string, string>, status = 200): unknown =>
  promisesOf(status, new Map(Object.entries(headers)))

test.each([
  [{ 'content-md5': base64('md5') }, [md5]],
  [{ 'content-md5': hex('md5') }, [md5]],
  [{ 'x-ms-blob-content-md5': base64('md5') }, [md5]],
  [{ 'repr-digest': `sha-256=:${base64('sha256')}:, unixsum=:30637=:` }, [sha256]],
  [{ digest: `MD5=${base64('md5')},SHA-256=${base64('sha256')}` }, [md5, sha256]],
  [{ 'x-goog-hash': `crc32c=n03x6A==, md5=${base64('md5')}` }, [crc32c, md5]],
  [{ 'x-goog-hash': 'crc32c=n03x6A==', 'x-goog-stored-content-encoding': 'identity' }, [crc32c]],
  [{ 'x-goog-hash': 'crc32c=n03x6A==', 'x-goog-stored-content-encoding': 'gzip' }, []],
  [{ 'x-amz-checksum-crc32c': 'n03x6A==', 'x-amz-checksum-type': 'FULL_OBJECT' }, [crc32c]],
  [{ 'x-amz-checksum-crc32': 'n03x6A==' }, [{ algorithm: 'crc32', value: '9f4df1e8' }]],
  [{ 'x-amz-checksum-crc64nvme': 'rosUhgp5mIg=' }, [{ algorithm: 'crc64nvme', value: 'ae8b14860a799888' }]],
  [{ 'x-amz-checksum-crc32c': 'n03x6A==-2' }, []],
  [{ 'x-amz-checksum-crc64nvme': 'rosUhgp5mIg=', 'x-amz-checksum-type': 'COMPOSITE' }, []],
  [{ 'x-amz-checksum-sha256': base64('sha256') }, [sha256]],
  [{ 'x-amz-checksum-sha256': `${base64('sha256')}-3` }, []],
  [{ 'x-amz-checksum-sha256': base64('sha256'), 'x-amz-checksum-type': 'COMPOSITE' }, []],
  [{ etag: `"${hex('md5')}"` }, []],
  [{ etag: `"${hex('md5')}"`, 'x-amz-request-id': '1' }, [md5]],
  [{ etag: `"${hex('md5')}-7"`, 'x-amz-request-id': '1' }, []],
  [{ etag: `"${hex('md5')}"`, 'x-amz-request-id': '1', 'x-amz-server-side-encryption': 'aws:kms' }, []],
  [{ etag: hex('md5'), 'x-openstack-request-id': 'tx1', 'x-timestamp': '1' }, [md5]],
  [{ etag: hex('md5'), 'x-openstack-request-id': 'tx1', 'x-timestamp': '1', 'x-object-manifest': 'a/b' }, []],
  [{ 'content-md5': base64('md5'), etag: `"${hex('md5')}"`, 'x-amz-request-id': '1' }, [md5]],
])('%j', (headers, promises) => {
  expect(of(headers as Record<string, string>)).toEqual(promises)
})

test('of a part only what is said of the whole counts', () => {
  const headers = { 'content-md5': base64('md5'), 'repr-digest': `sha-256=:${base64('sha256')}:` }
  expect(of(headers, 206)).toEqual([sha256])
})

test('what is no hash stays there, to be refused', () => {
  expect(of({ 'content-md5': 'nonsense!' })).toEqual([{ algorithm: 'md5', value: 'nonsense!' }])
})
