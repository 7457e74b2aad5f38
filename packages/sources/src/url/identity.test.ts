import { describe, expect, test } from 'vitest'
import { addressOf, identityToKeep } from './identity.ts'

const disk = 'https://host/disk.raw'
const amz = (signature: string, date: string): string =>
  `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F${date}&X-Amz-Date=${date}&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=${signature}&X-Amz-Signature=${signature}`
const sas = (signature: string, end: string): string =>
  `sv=2024-11-04&ss=b&srt=o&sp=r&se=${end}&st=${end}&spr=https&sig=${signature}`

const address = (query: string): string => addressOf(new URL(`${disk}?${query}`))

describe('a URL that is signed anew is the same image', () => {
  test.each([
    [amz('1', '20260101'), amz('2', '20260102')],
    ['X-Goog-Signature=1&X-Goog-Date=1', 'x-goog-date=2&x-goog-signature=2'],
    ['AWSAccessKeyId=a&Signature=1&Expires=1', 'AWSAccessKeyId=a&Signature=2&Expires=2'],
    ['GoogleAccessId=a&Expires=1&Signature=1', 'GoogleAccessId=b&Expires=2&Signature=2'],
    ['Expires=1&Signature=1&Key-Pair-Id=K', 'Policy=p&Signature=2&Key-Pair-Id=K'],
    [sas('1', '2026-01-01'), sas('2', '2026-01-02')],
    ['temp_url_sig=1&temp_url_expires=1', 'temp_url_expires=2&temp_url_sig=2'],
    ['X-Amz-%53ignature=1', 'X-Amz-Signature=2'],
  ])('%s, %s', (before, after) => {
    expect(address(before)).toBe(address(after))
    expect(address(`id=1&${before}`)).toBe(address(`${after}&id=1`))
    expect(address(`id=1&${before}`)).not.toBe(address(`id=2&${before}`))
    expect(address(`${before}&versionId=1`)).not.toBe(address(`${before}&versionId=2`))
  })
})

describe('what is no signature chooses an image', () => {
  test.each([
    ['id=1', 'id=2'],
    ['Expires=1', 'Expires=2'],
    ['Signature=1', 'Signature=2'],
    ['x-amz-date=1', 'x-amz-date=2'],
    ['sp=1', 'sp=2'],
    ['sig=1&sp=1', 'sig=1&sp=2'],
    ['token=1', 'token=2'],
    ['1', '2'],
    ['id=1', ''],
    ['id=1&id=2', 'id=2&id=1'],
  ])('%s, %s', (before, after) => {
    expect(address(before)).not.toBe(address(after))
  })
})

test('an identity is a hash of address, ETag and length; without a strong ETag there is none', () => {
  const url = new URL(`${disk}?token=secret`)
  const identity = identityToKeep(url, '"a"', 1)
  expect(identity).toMatch(/^[\da-f]{64}$/)
  const others = [
    identityToKeep(new URL(disk), '"a"', 1),
    identityToKeep(url, '"b"', 1),
    identityToKeep(url, '"a"', 2),
    identityToKeep(url, '"a"', undefined),
  ]
  expect(new Set([identity, ...others]).size).toBe(5)
  for (const weak of [undefined, 'W/"a"', 'a', '']) expect(identityToKeep(url, weak, 1)).toBeUndefined()
})
