import type { X509Certificate } from 'node:crypto'
import { readAuthority } from './certificate-authority.ts'

/** Longer chains are not followed. */
const maximumLength = 16

/**
 * Checks that a certificate comes from a trusted one that signed itself, over trusted intermediates.
 *
 * An authority without a path length may have any number of intermediates below it.
 *
 * @throws {SyntaxError} which says what is wrong with which certificate
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-6
 */
export function checkCertificateChain(
  certificate: X509Certificate,
  trusted: readonly X509Certificate[],
  wallMs: number,
): void {
  checkDates(certificate, wallMs)
  const authorities = trusted.filter((candidate) => isAuthority(candidate) && isInDate(candidate, wallMs))
  let current = certificate
  for (let below = -1; below < maximumLength; below += 1) {
    if (below >= 0) checkPathLength(current, below)
    if (isSelfSigned(current)) {
      if (authorities.some((authority) => authority.raw.equals(current.raw))) return
      throw new SyntaxError(`The certificate of ${nameOf(current)} signed itself and is not trusted`)
    }
    const child = current
    const issuer = authorities.find((authority) => hasIssued(authority, child))
    if (issuer === undefined) {
      throw new SyntaxError(`No trusted certificate in date has issued that of ${nameOf(current)}`)
    }
    current = issuer
  }
  throw new SyntaxError('The chain of certificates is too long')
}

function checkDates(certificate: X509Certificate, wallMs: number): void {
  if (!isInDate(certificate, wallMs)) {
    throw new SyntaxError(
      `The certificate of ${nameOf(certificate)} is only valid from ${certificate.validFrom} to ${certificate.validTo}`,
    )
  }
}

function checkPathLength(authority: X509Certificate, intermediatesBelow: number): void {
  const { pathLength } = readAuthority(authority.raw)
  if (pathLength !== undefined && intermediatesBelow > pathLength) {
    throw new SyntaxError(`The certificate of ${nameOf(authority)} allows only ${pathLength} intermediates`)
  }
}

function isInDate(certificate: X509Certificate, wallMs: number): boolean {
  return Date.parse(certificate.validFrom) <= wallMs && wallMs <= Date.parse(certificate.validTo)
}

/** Both extensions must be there, and say so. */
function isAuthority(certificate: X509Certificate): boolean {
  const { isAuthority: authority, maySignCertificates } = readAuthority(certificate.raw)
  return authority && maySignCertificates
}

function isSelfSigned(certificate: X509Certificate): boolean {
  return hasIssued(certificate, certificate)
}

function hasIssued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  if (issuer.subject !== certificate.issuer) return false
  try {
    return certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}

function nameOf(certificate: X509Certificate): string {
  return JSON.stringify(certificate.subject.replaceAll('\n', ', ').slice(0, 120))
}
