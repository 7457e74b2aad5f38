import { InvalidError, printable } from '@disk-image/core'

/** An object in a bucket. */
export interface S3Location {
  readonly bucket: string
  /** As it is stored: not encoded. */
  readonly key: string
}

/**
 * Reads `s3://BUCKET/KEY`. The key is taken as it stands, as the AWS command does: nothing in it is decoded.
 *
 * @throws {InvalidError}
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
 */
export function parseS3Location(text: string): S3Location {
  const [, bucket, key] = /^s3:\/\/([^/]*)\/(.+)$/s.exec(text) ?? []
  const isBucket = bucket !== undefined && /^[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]$/.test(bucket)
  if (!isBucket || key === undefined || Buffer.byteLength(key) > 1024) {
    throw new InvalidError({
      reason: `${JSON.stringify(printable(text, 200))} is no object in S3, as in s3://bucket/folder/disk.qcow2`,
    })
  }
  return { bucket, key }
}
