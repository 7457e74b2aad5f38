import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { certificatesFrom, createSignatureVerifier } from '@disk-image/glance-client/signature'
import { describe, expect, it } from 'vitest'
import { readAuthority } from '../../src/signature/certificate-chain.ts'
import { checkCertificateChain } from '../../src/signature/certificate-chain.ts'

function certificate(name: string): X509Certificate {
  return new X509Certificate(
    readFileSync(new URL(`../fixtures/certificates/${name}.pem`, import.meta.url), 'utf8'),
  )
}

/** Checks a chain, so many days after its certificate began to be valid. */
function check(name: string, trusted: readonly string[], days = 1): void {
  const signer = certificate(name)
  const wallMs = Date.parse(signer.validFrom) + days * 86_400_000
  checkCertificateChain(
    signer,
    trusted.map((authority) => certificate(authority)),
    wallMs,
  )
}

describe('checkCertificateChain', () => {
  it('accepts a signer over an intermediate, in any order, beside others', () => {
    check('signer', ['root', 'intermediate'])
    check('signer', ['stranger', 'intermediate', 'signer', 'root'])
    check('narrow-direct', ['narrow-root'])
    check('root', ['root'])
  })

  it('lets an authority without path length have any number below it', () => {
    expect(readAuthority(certificate('root').raw)).toEqual({
      isAuthority: true,
      pathLength: undefined,
      maySignCertificates: true,
    })
    expect(readAuthority(certificate('narrow-root').raw).pathLength).toBe(0)
    expect(readAuthority(certificate('signer').raw).isAuthority).toBe(false)
    check('signer', ['root', 'intermediate'])
  })

  it('refuses a path that is longer than its root allows', () => {
    expect(() => check('narrow-signer', ['narrow-root', 'narrow-intermediate'])).toThrow(
      /CN=narrow-root" allows only 0 intermediates/,
    )
  })

  it('refuses a signer that has expired, or begins later', () => {
    check('signer', ['root', 'intermediate'], 99)
    for (const days of [101, -1]) {
      expect(() => check('signer', ['root', 'intermediate'], days)).toThrow(/CN=signer" is only valid from/)
    }
  })

  it('refuses a signer in date whose intermediate or root has expired', () => {
    check('long-signer', ['root', 'intermediate'], 199)
    expect(() => check('long-signer', ['root', 'intermediate'], 201)).toThrow(
      /No trusted certificate in date has issued that of "CN=long-signer"/,
    )
    check('under-short-root', ['short-root'], 49)
    expect(() => check('under-short-root', ['short-root'], 51)).toThrow(
      /No trusted certificate in date has issued that of "CN=under-short-root"/,
    )
  })

  it('refuses a root or an intermediate that is not trusted', () => {
    for (const trusted of [[], ['stranger'], ['root'], ['signer']]) {
      expect(() => check('signer', trusted)).toThrow(/has issued that of "CN=signer"/)
    }
    expect(() => check('signer', ['stranger', 'intermediate'])).toThrow(
      /has issued that of "CN=intermediate"/,
    )
    expect(() => check('stranger', ['root'])).toThrow(/CN=stranger" signed itself and is not trusted/)
  })

  it('refuses issuers that are no authority or may not sign certificates', () => {
    check('no-authority', ['root'])
    for (const name of ['no-authority', 'no-signing']) {
      expect(() => check(`under-${name}`, ['root', name])).toThrow(/No trusted certificate/)
    }
  })
})

describe('the option trustedCertificates', () => {
  it('is what the signer of an image must come from', async () => {
    const pem = (name: string): string => certificate(name).toString()
    const image = {
      id: 'x',
      properties: {
        img_signature: 'AAAA',
        img_signature_hash_method: 'SHA-256',
        img_signature_key_type: 'ECC_SECP384R1',
        img_signature_certificate_uuid: 'signer',
      },
    }
    const wallMs = Date.parse(certificate('signer').validFrom) + 86_400_000
    const verifierWith = (...trusted: string[]): ReturnType<typeof createSignatureVerifier> =>
      createSignatureVerifier({}, image, certificatesFrom(pem), {
        trustedCertificates: trusted.map((name) => pem(name)),
        wallMs,
        inPlace: true,
      })
    await using verifier = await verifierWith('intermediate', 'root')
    expect(verifier).toBeDefined()
    await expect(verifierWith('stranger')).rejects.toMatchObject({
      code: 'IMAGE_SIGNATURE_VERIFICATION_FAILED',
      cause: { message: expect.stringContaining('No trusted certificate in date') as string },
    })
  })
})
