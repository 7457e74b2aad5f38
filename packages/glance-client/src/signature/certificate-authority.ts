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
