import type { Refusal } from '@disk-image/core'
import { printable } from '../layouts/printable.ts'
import type { Problems } from '../layouts/problems.ts'
import { isRefusal, notRead, parseCipher, parseHash } from './cipher-name.ts'
import { Entries } from './entries.ts'
import { malformed, Stop, textOffset } from './headers-2.ts'
import { checkIterations } from './layout-1.ts'
import { type Argon2, type LuksHash, type LuksKeySlot, luksStripes, type Pbkdf2 } from './luks-layout.ts'

const mostSlots = 32
/** The most that the format's tools let anybody ask for. */
const mostMemoryBytes = 4 * 1024 ** 3
const mostPasses = 1_000_000
const mostLanes = 4
/** Of a slot that is only tried where it is asked for. */
const ignored = 0

/** Where key slots may have their material. */
interface Areas {
  readonly from: number
  readonly to: number
}

interface KeySlots {
  readonly tried: readonly LuksKeySlot[]
  readonly others: readonly Refusal[]
  readonly keyBytes: number | undefined
}

export function keySlots(root: Entries, segment: string, areas: Areas, problems: Problems): KeySlots {
  const slots = Object.entries(root.object('keyslots').fields)
  const digests = Object.values(root.object('digests').fields).map((digest) => new Entries(digest, 'digest'))
  if (slots.length > mostSlots || digests.length > mostSlots) throw malformed('There are too many key slots')
  const tried: { readonly slot: LuksKeySlot; readonly priority: number }[] = []
  const others: Refusal[] = []
  let keyBytes: number | undefined
  for (const [id, value] of slots) {
    const fields = new Entries(value, 'key slot')
    // A slot whose key is not the data's is none of ours.
    const digest = digests.find(
      (one) => one.list('segments').includes(segment) && one.list('keyslots').includes(id),
    )
    const priority = fields.has('priority') ? fields.number('priority') : 1
    if (digest === undefined || priority === ignored) continue
    const slot = readSlot(Number(id), fields, digest, areas, problems)
    if (isRefusal(slot)) {
      others.push(slot)
      continue
    }
    const length = fields.number('key_size')
    if (keyBytes !== undefined && keyBytes !== length) throw malformed('The key slots hold different keys')
    keyBytes = length
    tried.push({ slot, priority })
  }
  tried.sort((one, other) => other.priority - one.priority)
  return { tried: tried.map(({ slot }) => slot), others, keyBytes }
}

function readSlot(
  id: number,
  slot: Entries,
  digest: Entries,
  areas: Areas,
  problems: Problems,
): LuksKeySlot | Refusal {
  const kdf = readKdf(slot.object('kdf'), problems)
  if (isRefusal(kdf)) return kdf
  if (slot.fields['type'] !== 'luks2')
    return notRead('The key slot is not read here', slot.text('type'), 'luks2', textOffset)
  const area = slot.object('area')
  const split = slot.object('af')
  const keyBytes = slot.number('key_size')
  const cipherKeyBytes = area.number('key_size')
  const areaOffset = placeOfArea(area, split, keyBytes, areas)
  const proof = readPbkdf2(digest, problems)
  const value = digest.base64('digest')
  if (value.length < 20 || value.length > 64) throw malformed('A digest has no possible length')
  const cipher = parseCipher(area.text('encryption'), cipherKeyBytes, textOffset)
  const stripeHash = parseHash(split.text('hash'), textOffset)
  for (const part of [proof, cipher, stripeHash]) {
    if (!isRefusal(part)) continue
    if (part.rule === 'luks-header') throw new Stop(part)
    return part
  }
  return {
    id,
    kdf,
    cipher: cipher as LuksKeySlot['cipher'],
    cipherKeyBytes,
    areaOffset,
    stripeHash: stripeHash as LuksHash,
    digest: { ...(proof as Pbkdf2), value },
  }
}

function placeOfArea(area: Entries, split: Entries, keyBytes: number, { from, to }: Areas): number {
  const isKnown = split.fields['type'] === 'luks1' && area.fields['type'] === 'raw'
  if (!isKnown || split.fields['stripes'] !== luksStripes || keyBytes === 0 || keyBytes > 64) {
    const accepted = `${luksStripes} stripes`
    throw malformed('A key slot is stored in no known way', { offset: textOffset, accepted })
  }
  const offset = area.bytes('offset')
  const end = offset + Math.ceil((keyBytes * luksStripes) / 512) * 512
  if (offset % 512 !== 0 || offset < from || end > to) {
    throw malformed('A key slot lies in the header or in the data', {
      offset: textOffset,
      found: `${offset}`,
    })
  }
  return offset
}

function readKdf(kdf: Entries, problems: Problems): LuksKeySlot['kdf'] | Refusal {
  const type = kdf.text('type')
  if (type === 'pbkdf2') return readPbkdf2(kdf, problems)
  if (type === 'argon2i' || type === 'argon2id') return readArgon2(type, kdf, problems)
  const accepted = 'pbkdf2, argon2i, argon2id'
  return notRead('The key derivation is not read here', type, accepted, textOffset)
}

function readPbkdf2(fields: Entries, problems: Problems): Pbkdf2 | Refusal {
  const type = fields.text('type')
  if (type !== 'pbkdf2') return notRead('The digest is not read here', type, 'pbkdf2', textOffset)
  const iterations = fields.number('iterations')
  const salt = fields.base64('salt')
  checkIterations(iterations, textOffset, problems)
  const hash = parseHash(fields.text('hash'), textOffset)
  return isRefusal(hash) ? hash : { type, hash, iterations, salt }
}

function readArgon2(type: Argon2['type'], fields: Entries, problems: Problems): Argon2 {
  const passes = fields.number('time')
  const memoryKiB = fields.number('memory')
  const lanes = fields.number('cpus')
  const salt = fields.base64('salt')
  const isPossible =
    passes >= 1 &&
    passes <= mostPasses &&
    lanes >= 1 &&
    lanes <= mostLanes &&
    memoryKiB >= 8 * lanes &&
    memoryKiB * 1024 <= mostMemoryBytes &&
    salt.length >= 8 &&
    salt.length <= 64
  if (!isPossible) {
    problems.add('key-derivation', {
      reason: 'The header asks for a key derivation that no tool asks for',
      offset: textOffset,
      found: printable(`${type}, time ${passes}, memory ${memoryKiB} KiB, cpus ${lanes}`),
      accepted: `time 1 to ${mostPasses}, memory up to 4 GiB, cpus 1 to ${mostLanes}`,
    })
  }
  return { type, passes, memoryBytes: memoryKiB * 1024, lanes, salt }
}
