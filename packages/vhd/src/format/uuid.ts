/** 16 bytes as lower-case text with dashes. */
export function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** The 16 bytes of a uuid in text form. */
export function parseUuid(text: string): Uint8Array {
  return Buffer.from(text.replaceAll('-', ''), 'hex')
}
