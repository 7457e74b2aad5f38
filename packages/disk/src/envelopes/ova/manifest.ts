import { InvalidError } from '@disk-image/core'

/** Bytes of a manifest that are read. */
export const longestManifestBytes: number = 1024 ** 2

/** A digest of one member, as a manifest states it. */
export interface ManifestEntry {
  /** Node's name: `sha1`, `sha256`, `sha512`. */
  readonly algorithm: string
  /** Lower-case hex. */
  readonly value: string
}

const lengths: Readonly<Record<string, number>> = { sha1: 40, sha256: 64, sha384: 96, sha512: 128 }

/**
 * Reads an OVA's manifest: a line for each member, `SHA256(disk.vmdk)= hex`.
 *
 * @returns the digests by the members' names
 * @throws {InvalidError} for a line that is none, an unknown algorithm, and two that contradict each other
 * @see DSP0243, section 5.1
 */
export function parseManifest(bytes: Uint8Array): ReadonlyMap<string, ManifestEntry> {
  if (bytes.length > longestManifestBytes) throw bad(`it has more than ${longestManifestBytes} bytes`)
  const entries = new Map<string, ManifestEntry>()
  for (const line of new TextDecoder().decode(bytes).split(/\r\n?|\n/)) {
    if (line.trim() === '') continue
    const [, name, file, hex] = /^ *(SHA-?\d{1,3}) *\((.+)\) *= *([0-9a-f]+) *$/i.exec(line) ?? []
    const algorithm = name?.toLowerCase().replace('-', '') ?? ''
    if (file === undefined || !Object.hasOwn(lengths, algorithm) || hex?.length !== lengths[algorithm]) {
      throw bad(`its line ${JSON.stringify(line.slice(0, 80))} is no digest of a member`)
    }
    const entry = { algorithm, value: (hex ?? '').toLowerCase() }
    const known = entries.get(file)
    if (known !== undefined && known.value !== entry.value)
      throw bad(`it has two digests of ${JSON.stringify(file.slice(0, 80))}`)
    entries.set(file, entry)
  }
  return entries
}

function bad(reason: string): InvalidError {
  return new InvalidError({ reason: `The manifest (.mf) can't be read: ${reason}.` })
}
