import type { X509Certificate } from 'node:crypto'

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

/** What a certificate says about issuing others. */
interface Authority {
  readonly isAuthority: boolean
  /** Intermediates that may be below; undefined: any number. */
  readonly pathLength: number | undefined
  readonly maySignCertificates: boolean
}

interface Element {
  readonly tag: number
  readonly content: Uint8Array
}

const basicConstraints = '551d13'
const keyUsage = '551d0f'
const keyCertSign = 0x04

/**
 * Reads BasicConstraints and KeyUsage, which Node's certificates don't show.
 *
 * @throws {RangeError} where the certificate is malformed
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1
 */
export function readAuthority(certificate: Uint8Array): Authority {
  let isAuthority = false
  let pathLength: number | undefined
  let maySignCertificates = false
  for (const [identifier, value] of extensionsOf(certificate)) {
    if (identifier === keyUsage) {
      // A bit string: the number of unused bits, then the bits.
      maySignCertificates = ((first(elements(value)).content[1] ?? 0) & keyCertSign) !== 0
    } else if (identifier === basicConstraints) {
      const members = elements(first(elements(value)).content)
      isAuthority = members.some(
        ({ tag, content }) => tag === 0x01 && content[0] !== 0 && content.length === 1,
      )
      const length = members.find(({ tag }) => tag === 0x02)
      pathLength = length === undefined ? undefined : toInteger(length.content)
    }
  }
  return { isAuthority, pathLength, maySignCertificates }
}

function extensionsOf(certificate: Uint8Array): [string, Uint8Array][] {
  const body = first(elements(first(elements(certificate)).content)).content
  const wrapper = elements(body).find(({ tag }) => tag === 0xa3)
  if (wrapper === undefined) return []
  return elements(first(elements(wrapper.content)).content).map(({ content }) => {
    const members = elements(content)
    const identifier = Buffer.from(first(members).content).toString('hex')
    return [identifier, members.at(-1)?.content ?? new Uint8Array()]
  })
}

/** The elements of a DER sequence's content. */
function elements(bytes: Uint8Array): Element[] {
  const found: Element[] = []
  for (let position = 0; position < bytes.length;) {
    const tag = bytes[position] ?? 0
    let length = bytes[position + 1] ?? 0
    position += 2
    if (length >= 0x80) {
      const digits = length & 0x7f
      if (digits === 0 || digits > 4) throw new RangeError('The certificate has a malformed length')
      length = toInteger(bytes.subarray(position, position + digits))
      position += digits
    }
    if (position + length > bytes.length) throw new RangeError('The certificate is cut')
    found.push({ tag, content: bytes.subarray(position, position + length) })
    position += length
  }
  return found
}

function first(list: readonly Element[]): Element {
  const [element] = list
  if (element === undefined) throw new RangeError('The certificate lacks an element')
  return element
}

function toInteger(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0)
}
