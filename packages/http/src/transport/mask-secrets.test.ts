import { describe, expect, it } from 'vitest'
import { maskSecrets, secretsOf } from './mask-secrets.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const everyCharacter = (text: string, encode: (code: number) => string): string =>
  Array.from(text, (character) => encode(character.codePointAt(0) ?? 0)).join('')

const password = 'pa&ss"w\'ord<1>/\\ é'
const encodings: Readonly<Record<string, (secret: string) => string>> = {
  plain: (secret) => secret,
  'in upper case': (secret) => secret.toUpperCase(),
  'in HTML': (secret) =>
    secret
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('"', '&quot;')
      .replaceAll("'", '&#39;'),
  'in decimal entities': (secret) => everyCharacter(secret, (code) => `&#${code};`),
  'in hexadecimal entities, padded': (secret) =>
    everyCharacter(secret, (code) => `&#x00${code.toString(16)};`),
  'in entities without their end': (secret) => everyCharacter(secret, (code) => `&#${code} `),
  'in JSON': (secret) => JSON.stringify(secret).slice(1, -1).replaceAll('/', '\\/'),
  'in JSON, all escaped': (secret) =>
    everyCharacter(secret, (code) => `\\u${code.toString(16).padStart(4, '0')}`),
  'in a URL': (secret) => encodeURIComponent(secret),
  'in a form': (secret) => new URLSearchParams({ secret }).toString(),
  'in a URL, all escaped': (secret) =>
    [...Buffer.from(secret)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  'in HTML in JSON in a URL': (secret) =>
    encodeURIComponent(JSON.stringify(secret.replaceAll('&', '&amp;').replaceAll('"', '&quot;'))),
  'in base64': base64,
  'behind a user in base64': (secret) => base64(`somebody:${secret}`),
  'behind a longer user in base64': (secret) => base64(`somebody2:${secret}`),
  'behind a still longer user in base64': (secret) => base64(`somebody23:${secret}`),
  'in base64 of URLs': (secret) => Buffer.from(secret).toString('base64url'),
  'in hexadecimal': (secret) => Buffer.from(secret).toString('hex').toUpperCase(),
  'in hexadecimal with colons': (secret) =>
    (Buffer.from(secret).toString('hex').match(/../g) ?? []).join(':'),
  'in bytes, as Python shows them': (secret) =>
    [...Buffer.from(secret)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  'in characters of Latin-1, as Python shows them': (secret) =>
    everyCharacter(secret, (code) => `\\x${code.toString(16).padStart(2, '0')}`),
  'in octal': (secret) =>
    [...Buffer.from(secret)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join(''),
  'wrapped over lines': (secret) => `${secret.slice(0, 5)}\r\n  ${secret.slice(5)}`,
}

describe.each(Object.entries(encodings))('%s', (_, encode) => {
  it.each(['gAAAAABmXk9Q-3_secret_token-0123456789==', password])('%s is masked', (secret) => {
    const shown = maskSecrets(`before ${encode(secret)} after`, ['unused', secret])
    expect(shown).toMatch(/^before .*after$/s)
    expect(shown).toContain('***')
    const rest = shown.replaceAll('***', '')
    // Nothing of it is left but what any text could have.
    expect(rest.length).toBeLessThan('before  after'.length + 24)
    for (const part of [secret.slice(0, 6), secret.slice(-6)]) expect(rest.toLowerCase()).not.toContain(part)
  })
})

it('a long secret is masked where it is cut, too', () => {
  const token = 'gAAAAABmXk9Q0123456789abcdefghijklmnop'
  expect(maskSecrets(`X-Auth-Token: ${token.slice(0, 20)}…`, [token])).toBe('X-Auth-Token: ***…')
  expect(maskSecrets(`…${token.slice(14, 30)}`, [token])).toBe('…***')
})

it('other text stays as it is', () => {
  const text = '<b>100 % of &lt;it&gt;</b> \\u0041 &#x41; %41 — “é”'
  expect(maskSecrets(text, ['not in there', ''])).toBe(text)
})

it('a hostile text takes no long time', () => {
  const begun = performance.now()
  for (const piece of ['&#', '%41', '\\u0041', '&amp;amp;amp;', 'a', '\\\\\\']) {
    maskSecrets(piece.repeat(65_536 / piece.length), ['a'.repeat(4000), 'b', 'password'])
  }
  expect(performance.now() - begun).toBeLessThan(10_000)
})

it('secrets of headers are known by their names', () => {
  const basic = `Basic ${base64('user:pass:word')}`
  expect(
    secretsOf({ 'X-Auth-Token': 't', Accept: 'a', 'X-Service-Token': 's', Authorization: basic }),
  ).toEqual(['t', 's', base64('user:pass:word'), 'pass:word'])
})
