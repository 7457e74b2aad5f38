import { expect, it } from 'vitest'
import { withoutReservedNamespaces } from './reserved-namespaces.ts'

it('keeps what the service says about hashing, importing and signatures out of a new image', () => {
  const metadata = {
    os_glance_importing_to_stores: 'a',
    img_signature_key_type: 'RSA-PSS',
    signature_verified: 'True',
    signature_verified_by: 'x',
    my_signature_verified: 'kept',
    properties: { signature_verified: 'False', img_signature: 's', os_type: 'linux' },
  }
  const before = structuredClone(metadata)
  expect(withoutReservedNamespaces(metadata)).toEqual({
    my_signature_verified: 'kept',
    properties: { os_type: 'linux' },
  })
  expect(metadata).toEqual(before)
})

it('takes further prefixes', () => {
  const filtered = withoutReservedNamespaces({ a1: 1, b: 2 }, { reservedNamespaces: ['a'] })
  expect(filtered).toEqual({ b: 2 })
})
