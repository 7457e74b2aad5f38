import type { Checksum } from '@disk-image/core'

/** Names of RFC 9530, RFC 3230 and S3, as records have them. */
const names: Readonly<Record<string, string>> = {
  md5: 'md5',
  sha: 'sha1',
  sha1: 'sha1',
  'sha-256': 'sha256',
  sha256: 'sha256',
  'sha-512': 'sha512',
  sha512: 'sha512',
  crc32: 'crc32',
  crc32c: 'crc32c',
  crc64nvme: 'crc64nvme',
}

/** Google decompresses what is stored compressed, and promises the stored bytes all the same. */
const isTranscoded = (headers: ReadonlyMap<string, string>): boolean =>
  !headers.has('content-encoding') &&
  !['identity', undefined].includes(headers.get('x-goog-stored-content-encoding')?.toLowerCase())

/** Whether a sum of the whole is only made of the sums of its parts, as of an S3 upload in several: nothing to compare with. */
export function isComposite(headers: ReadonlyMap<string, string>): boolean {
  const values = s3Sums.map((name) => headers.get(`x-amz-checksum-${name}`))
  return (
    headers.get('x-amz-checksum-type')?.toUpperCase() === 'COMPOSITE' ||
    values.some((value) => value !== undefined && /-\d+$/.test(value))
  )
}

const s3Sums = ['sha256', 'sha1', 'crc64nvme', 'crc32c', 'crc32'] as const

/**
 * What a server says of the whole of a thing, in the headers of an answer with it or with a part of it.
 *
 * An `ETag` counts only from servers that are known to make it of the MD5: S3's and Swift's, where the object is one
 * piece and not encrypted with a key of the client's or of KMS.
 *
 * @param isS3 whether it is S3, or speaks as it does
 * @see https://www.rfc-editor.org/rfc/rfc9530 Repr-Digest
 * @see https://www.rfc-editor.org/rfc/rfc3230 Digest
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
 */
export function promisesOf(
  status: number,
  headers: ReadonlyMap<string, string>,
  isS3: boolean = headers.has('x-amz-request-id'),
): Checksum[] {
  const found: Checksum[] = []
  const add = (name: string, value: string | undefined): void => {
    const algorithm = names[name.trim().toLowerCase()]
    if (algorithm !== undefined && value !== undefined) found.push({ algorithm, value: toHex(value.trim()) })
  }
  // Of a part it is the part's.
  if (status === 200) add('md5', headers.get('content-md5'))
  add('md5', headers.get('x-ms-blob-content-md5'))
  for (const [, name = '', value] of headers.get('repr-digest')?.matchAll(/(?:^|,)\s*([\w-]+)=:([^:]*):/g) ??
    []) {
    add(name, value)
  }
  for (const header of ['digest', ...(isTranscoded(headers) ? [] : ['x-goog-hash'])]) {
    for (const item of (headers.get(header) ?? '').split(',')) {
      const [, name = '', value] = /^([^=]+)=(.*)$/.exec(item) ?? []
      add(name, value)
    }
  }
  if (status === 200 && !isComposite(headers)) {
    for (const name of s3Sums) add(name, headers.get(`x-amz-checksum-${name}`))
  }
  add('md5', md5Tag(headers, isS3))
  return found.filter(({ algorithm, value }, index) => {
    const same = found.findIndex((one) => one.algorithm === algorithm && one.value === value)
    return same === index
  })
}

function md5Tag(headers: ReadonlyMap<string, string>, isS3: boolean): string | undefined {
  const [, tag] = /^"?([0-9a-f]{32})"?$/.exec(headers.get('etag') ?? '') ?? []
  const isMd5 =
    isS3 &&
    !headers.has('x-amz-server-side-encryption-customer-algorithm') &&
    !(headers.get('x-amz-server-side-encryption') ?? '').startsWith('aws:kms')
  const isSwift =
    headers.has('x-openstack-request-id') &&
    headers.has('x-timestamp') &&
    !headers.has('x-static-large-object') &&
    !headers.has('x-object-manifest')
  return isMd5 || isSwift ? tag : undefined
}

/** From base64, or from hex, as some servers write it. What is neither stays as it is, and is refused where it is compared. */
function toHex(value: string): string {
  if (/^(?:[0-9a-f]{2})+$/i.test(value) && [32, 40, 64, 128].includes(value.length))
    return value.toLowerCase()
  return /^[\w+/-]+={0,2}$/.test(value) ? Buffer.from(value, 'base64').toString('hex') : value
}
