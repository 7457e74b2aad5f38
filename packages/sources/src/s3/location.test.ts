import { expect, test } from 'vitest'
import { parseS3Location } from './location.ts'

test.each([
  ['s3://images/debian.qcow2', { bucket: 'images', key: 'debian.qcow2' }],
  ['s3://my.images-1/a/../b c%20?#d', { bucket: 'my.images-1', key: 'a/../b c%20?#d' }],
  ['s3://images//a', { bucket: 'images', key: '/a' }],
])('%s', (text, location) => {
  expect(parseS3Location(text)).toEqual(location)
})

test.each([
  's3:images/a',
  's3://images',
  's3://images/',
  's3://IMAGES/a',
  's3://a/b',
  's3://a..b/c',
  's3://me@images/a',
  `s3://images/${'a'.repeat(1025)}`,
])('no object: %s', (text) => {
  expect(() => parseS3Location(text)).toThrow(/is no object in S3/)
})
