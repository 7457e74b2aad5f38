import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { checkCertificateChain } from '../../src/signature/certificate-chain.ts'
import { readAuthority } from '../../src/signature/certificate-authority.ts'

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
