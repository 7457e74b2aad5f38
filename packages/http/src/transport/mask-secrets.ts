const mask = '***'
/** So many characters of a long secret, one after the other, give it away: it may be cut, or wrapped. */
const tellingLength = 12
const maximumRounds = 5

/** A text, and where in the original each of its characters stands. */
interface Placed {
  readonly text: string
  readonly start: readonly number[]
  readonly end: readonly number[]
}

/**
 * Takes secrets out of what somebody else wrote, whatever they are encoded in: HTML, JSON, URLs, base64, hexadecimal,
 * one inside the other, in other case or wrapped over lines; of long ones parts, too.
 */
export function maskSecrets(text: string, secrets: readonly string[]): string {
  const needles = [...new Set(secrets.filter((secret) => secret !== '').flatMap(needlesOf))]
  if (needles.length === 0) return text
  const masked = new Uint8Array(text.length)
  let placed: Placed | undefined = plain(text)
  for (let round = 0; round < maximumRounds && placed !== undefined; round += 1) {
    mark(canonical(placed), needles, masked)
    placed = decoded(placed)
  }
  return replaceMarked(text, masked)
}

/** What must not be repeated of a request's headers. */
export function secretsOf(headers: Readonly<Record<string, string>>): string[] {
  const secret = Object.entries(headers).filter(([name]) =>
    /auth|token|secret|pass|key|cookie|sign/i.test(name),
  )
  return secret.flatMap(([, value]) => {
    const [, scheme = '', credentials = ''] = /^(basic|bearer|negotiate|digest) +(.*)$/i.exec(value) ?? []
    if (scheme.toLowerCase() !== 'basic') return credentials === '' ? [value] : [value, credentials]
    const [, password = ''] = /^[^:]*:(.*)$/s.exec(Buffer.from(credentials, 'base64').toString()) ?? []
    return [credentials, password]
  })
}

function plain(text: string): Placed {
  const start = Array.from({ length: text.length }, (_, index) => index)
  return { text, start, end: start.map((index) => index + 1) }
}

/** What is looked for: the secret itself, and what it looks like inside of base64, wherever it begins there. */
function needlesOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const inBase64 = [0, 1, 2].flatMap((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replaceAll('=', '')
    // The first and the last characters depend on what stands beside the secret.
    const core = encoded.slice(shift === 0 ? 0 : shift + 1, (bytes.length + shift) % 3 === 0 ? undefined : -1)
    return core.length < 6 ? [] : [core]
  })
  const pairs = bytes.length < 4 ? [] : (bytes.toString('hex').match(/../g) ?? [])
  const hex = pairs.length === 0 ? [] : [pairs.join(''), pairs.join(':')]
  return [secret, ...inBase64, ...hex]
    .map(canonicalText)
    .filter((needle) => needle !== '')
    .flatMap(parts)
}

function parts(needle: string): string[] {
  if (needle.length < tellingLength + 4) return [needle]
  return Array.from({ length: needle.length - tellingLength + 1 }, (_, at) =>
    needle.slice(at, at + tellingLength),
  )
}

/** Without blanks, case and what differs between kinds of base64 and of URLs. */
const dropped = /[\s+\-\u00ad\u200b-\u200d\ufeff]/u

function canonicalCharacter(character: string): string {
  if (dropped.test(character)) return ''
  const lower = character.toLowerCase()
  return lower === '_' ? '/' : lower.length === 1 ? lower : character
}

function canonicalText(text: string): string {
  const short = text.split('').map(canonicalCharacter).join('')
  // A secret of such characters alone is looked for as it is.
  return short === '' ? text : short
}

function canonical({ text, start, end }: Placed): Placed {
  const result = { text: [] as string[], start: [] as number[], end: [] as number[] }
  for (let index = 0; index < text.length; index += 1) {
    const character = canonicalCharacter(text[index] ?? '')
    if (character === '') continue
    result.text.push(character)
    result.start.push(start[index] ?? 0)
    result.end.push(end[index] ?? 0)
  }
  return { ...result, text: result.text.join('') }
}

function mark({ text, start, end }: Placed, needles: readonly string[], masked: Uint8Array): void {
  const byLength = new Map<number, Set<string>>()
  for (const needle of needles) {
    const same = byLength.get(needle.length) ?? new Set()
    byLength.set(needle.length, same.add(needle))
  }
  for (const [length, wanted] of byLength) {
    for (let at = 0; at + length <= text.length; at += 1) {
      if (wanted.has(text.slice(at, at + length))) masked.fill(1, start[at], end[at + length - 1])
    }
  }
}

const encoded =
  /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));?|((?:%[0-9a-f]{2})+)|\\u\{?([0-9a-f]{4,6})\}?|((?:\\x[0-9a-f]{2}|\\[0-3][0-7]{2})+)|\\([^ux])/gi
const entities: Readonly<Record<string, string>> = {
  quot: '"',
  amp: '&',
  lt: '<',
  gt: '>',
  apos: "'",
  nbsp: ' ',
  sol: '/',
  num: '#',
  excl: '!',
  dollar: '$',
  percnt: '%',
  plus: '+',
  equals: '=',
  commat: '@',
  bsol: '\\',
  colon: ':',
  semi: ';',
  comma: ',',
  period: '.',
  quest: '?',
  lpar: '(',
  rpar: ')',
  ast: '*',
  lowbar: '_',
  grave: '`',
  hat: '^',
  vert: '|',
}

/** One layer of encodings taken off; undefined where there is none. */
function decoded({ text, start, end }: Placed): Placed | undefined {
  const result = { text: [] as string[], start: [] as number[], end: [] as number[] }
  const put = (character: string, from: number, to: number): void => {
    // A character outside of the first plane is two units, each of which stands for all of it.
    for (const unit of character.split('')) {
      result.text.push(unit)
      result.start.push(start[from] ?? 0)
      result.end.push(end[to - 1] ?? 0)
    }
  }
  const copy = (from: number, to: number): void => {
    for (let index = from; index < to; index += 1) put(text[index] ?? '', index, index + 1)
  }
  let done = 0
  let changed = false
  for (const match of text.matchAll(encoded)) {
    const [whole, decimal, hex, name, percent, unicode, escapedBytes, escaped] = match
    const bytes = percent ?? escapedBytes
    const character = bytes === undefined ? one(decimal, hex ?? unicode, name, escaped) : textOfBytes(bytes)
    if (character === undefined) continue
    copy(done, match.index)
    done = match.index + whole.length
    put(character, match.index, done)
    changed = true
  }
  if (!changed) return undefined
  copy(done, text.length)
  return { ...result, text: result.text.join('') }
}

/** `%NN`, `\\xNN` and `\\NNN` in octal: bytes of UTF-8, or where they are none of Latin-1. */
function textOfBytes(escapes: string): string {
  const hex = escapes.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) =>
    Number.parseInt(octal, 8).toString(16).padStart(2, '0'),
  )
  const bytes = Buffer.from(hex.replace(/%|\\x/gi, ''), 'hex')
  const text = bytes.toString('utf8')
  return text.includes('\ufffd') ? bytes.toString('latin1') : text
}

function one(
  decimal: string | undefined,
  hex: string | undefined,
  name: string | undefined,
  escaped: string | undefined,
): string | undefined {
  if (name !== undefined) return entities[name.toLowerCase()]
  if (escaped !== undefined) return escaped
  const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal)
  return code <= 0x10ffff ? String.fromCodePoint(code) : undefined
}

function replaceMarked(text: string, masked: Uint8Array): string {
  const kept: string[] = []
  for (let at = 0; at < text.length;) {
    const hidden = masked[at] === 1
    let stop = at
    while (stop < text.length && (masked[stop] === 1) === hidden) stop += 1
    kept.push(hidden ? mask : text.slice(at, stop))
    at = stop
  }
  return kept.join('')
}
