import type { Fields } from '../layouts/fields.ts'
import { Problems } from '../layouts/problems.ts'
import { isRefusal, notRead, parseCipher } from './cipher-name.ts'
import { Entries } from './entries.ts'
import { malformed, readText, Stop, textOffset } from './headers-2.ts'
import { type LuksChecksum, type LuksLayout, nothing } from './luks-layout.ts'
import { keySlots } from './slots-2.ts'

/** Parses both headers of version 2, which must be whole and say the same, as after every finished change. */
export function parseLuks2(head: Fields, fileBytes: number): LuksLayout {
  const base = { ...nothing, version: 2 }
  const checksums: LuksChecksum[] = []
  try {
    const text = readText(head, checksums)
    return Object.freeze({ ...base, checksums, ...readMetadata(text, head.u64be(8), fileBytes) })
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    const { refusal } = error
    const isWhole = refusal.rule === 'luks-unsupported'
    return Object.freeze({ ...base, checksums, [isWhole ? 'unsupported' : 'problems']: [refusal] })
  }
}

function readMetadata(text: string, headerBytes: bigint, fileBytes: number): Partial<LuksLayout> {
  const root = new Entries(parseJson(text), 'object')
  const config = root.object('config')
  const [requirement] = config.has('requirements') ? config.object('requirements').list('mandatory') : []
  if (requirement !== undefined) {
    const found = typeof requirement === 'string' ? requirement : typeof requirement
    const reason = 'The container needs a feature that is not read here'
    const accepted = 'a container whose re-encryption has ended (`cryptsetup reencrypt --resume-only`)'
    throw new Stop(notRead(reason, found, accepted, textOffset))
  }
  const { id, segment } = onlySegment(root)
  const areasFrom = 2 * Number(headerBytes)
  const payload = placeOf(segment, areasFrom, fileBytes)
  const problems = new Problems('luks')
  const slots = keySlots(root, id, { from: areasFrom, to: payload.payloadOffset }, problems)
  const cipherName = segment.text('encryption')
  const cipher = parseCipher(cipherName, slots.keyBytes ?? 0, textOffset)
  return {
    ...payload,
    cipherName,
    keyBytes: slots.keyBytes ?? 0,
    slots: slots.tried,
    otherSlots: slots.others,
    // Without a slot that can be tried, the length of the key is not known.
    ...(isRefusal(cipher) ? { unsupported: slots.tried.length > 0 ? [cipher] : [] } : { cipher }),
    vectorOffset: segment.bytes('iv_tweak'),
    problems: problems.list,
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformed('The metadata is no JSON')
  }
}

function onlySegment(root: Entries): { readonly id: string; readonly segment: Entries } {
  const segments = Object.entries(root.object('segments').fields)
  const [id, value] = segments[0] ?? []
  const segment = new Entries(value, 'segment')
  if (id === undefined || segments.length !== 1 || segment.fields['type'] !== 'crypt') {
    const found = `${segments.length} segments`
    throw new Stop(notRead('The data is not in one piece', found, 'one encrypted segment', textOffset))
  }
  if (segment.has('integrity')) {
    const accepted = 'a container without integrity'
    throw new Stop(notRead('The data is stored with checksums', 'integrity', accepted, textOffset))
  }
  return { id, segment }
}

function placeOf(
  segment: Entries,
  areasFrom: number,
  fileBytes: number,
): Pick<LuksLayout, 'payloadOffset' | 'sectorBytes' | 'sizeBytes'> {
  const sectorBytes = segment.number('sector_size')
  const payloadOffset = segment.bytes('offset')
  if (![512, 1024, 2048, 4096].includes(sectorBytes)) {
    throw malformed('The sectors have no possible length', { offset: textOffset, found: `${sectorBytes}` })
  }
  if (payloadOffset % 512 !== 0 || payloadOffset < areasFrom || payloadOffset > fileBytes) {
    throw malformed('The encrypted data is not in the file', {
      offset: textOffset,
      found: `${payloadOffset}`,
      accepted: 'a container with its data, not only its header',
    })
  }
  const available = fileBytes - payloadOffset
  const length = segment.fields['size'] === 'dynamic' ? available : segment.bytes('size')
  if (length > available) {
    throw new Stop({
      rule: 'luks-truncated',
      reason: 'The file ends before its encrypted data',
      offset: textOffset,
      found: `${available} bytes`,
      accepted: `${length} bytes`,
    })
  }
  return { sectorBytes, payloadOffset, sizeBytes: Math.floor(length / sectorBytes) * sectorBytes }
}
