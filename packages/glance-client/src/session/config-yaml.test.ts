import { InvalidError } from '@disk-image/core'
import { describe, expect, it } from 'vitest'
import { parseConfigYaml } from './config-yaml.ts'

const read = async (text: string): Promise<unknown> => (await parseConfigYaml(text)).value

describe('parseConfigYaml', () => {
  it.each([
    '40518395283e47109362710548291736',
    '40518395283147109362710548291736',
    '8675309e5',
    '1e400',
    '0012345',
    '0x10',
    '0o17',
    '1_000',
    '12:30:45',
    '2020-01-01',
    '.inf',
    '-.INF',
    '.nan',
    '1.10',
    '+1',
    'yes',
    'No',
    'off',
    'y',
    'TRUE',
    '=',
  ])('leaves %s as it is written', async (text) => {
    expect(await read(`password: ${text}`)).toEqual({ password: text })
    expect(await read(`{"password": ${text}}`)).toEqual({ password: text })
  })

  it.each(['', '~', 'null', 'Null', 'NULL'])('takes %j for no value, unless it is quoted', async (text) => {
    expect(await read(`a: ${text}`)).toEqual({ a: null })
    expect(await read(`a: "${text}"`)).toEqual({ a: text })
    expect(await read(`a: !!str ${text}`)).toEqual({ a: text })
  })

  it('merges: own keys first, then the first of a list, and the last of several <<', async () => {
    const anchors = 'x: &x {a: 1, b: 1}\ny: &y {<<: *x, b: 2, c: 2}\n'
    const merged = async (entry: string): Promise<unknown> =>
      ((await read(`${anchors}z:\n${entry}`)) as { z: unknown }).z
    expect(await merged('  a: own\n  <<: *y')).toEqual({ a: 'own', b: '2', c: '2' })
    expect(await merged('  <<: [*x, *y]')).toEqual({ a: '1', b: '1', c: '2' })
    expect(await merged('  <<: *y\n  <<: *x')).toEqual({ a: '1', b: '1', c: '2' })
    expect(await merged('  <<: {d: 4}\n  "<<": text')).toEqual({ d: '4', '<<': 'text' })
  })

  it('takes the last of equal keys, and says so', async () => {
    const { value, warnings } = await parseConfigYaml('clouds: {a: 1}\nother: 1\nclouds: {b: 1}\n')
    expect(value).toEqual({ clouds: { b: '1' }, other: '1' })
    expect(warnings).toEqual(['line 3: the key "clouds" stands in line 1 already; the last one counts'])
  })

  it('reads what Windows and JSON write', async () => {
    expect(await read('\uFEFFa: 1\r\nb:\r\n  - c\r\n')).toEqual({ a: '1', b: ['c'] })
    expect(await read('{\n\t"a": 1.0,\n\t"b": "\\/\\ud83d\\ude00"\n}')).toEqual({ a: '1.0', b: '/😀' })
  })

  it.each([
    ['a:\n\t- b', 'line 2: a tab'],
    ['a: 1\nb: c: d', 'line 2: there is a second'],
    ['a: 1\nb: "c', 'line 2: a quote'],
    ['a: 1\n\nb: @c', 'line 3: a value begins with a reserved'],
    ['a: 1\nb: *c', 'line 2: a reference (*) has no anchor'],
    ['a: 1\nb: &b [*b]', 'line 2: a reference (*) leads into itself'],
    ['a: 1\n<<: text', 'line 2: << takes a mapping'],
    ['a: 1\n? [b]\n: c', 'line 2: a key is a list'],
    ['a: 1\nb: !!python/object/apply:os.system [id]', 'line 2: the tag'],
    ['a: 1\nb: !own c', 'line 2: the tag'],
    ['a: 1\nb: !!binary aGk=', 'line 2: the tag'],
    ['a: 1\nb: \u001B[31m', 'line 2: a control character'],
    ['a: 1\n---\nb: 2', 'line 2: a second document'],
  ])('refuses %j with the line', async (text, reason) => {
    const error = await read(text).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(InvalidError)
    expect((error as InvalidError).reason).toContain(reason)
  })

  it('refuses what is nested deeply', async () => {
    await expect(read('['.repeat(100_000))).rejects.toThrow(/nested too deeply/)
    await expect(read(`${'a: {'.repeat(70)}${'}'.repeat(70)}`)).rejects.toThrow(
      /line 1: it is nested too deeply/,
    )
  })

  it('counts what references of references become', async () => {
    const lists = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
    const maps = ['a: &a {a0: 1, a1: 1, a2: 1, a3: 1}']
    for (const [index, name] of 'b c d e f g h i j k l m n o'.split(' ').entries()) {
      const before = 'abcdefghijklmno'[index]
      lists.push(`${name}: &${name} [${`*${before}, `.repeat(10)}]`)
      maps.push(
        `${name}: &${name} {${[1, 2, 3, 4, 5].map((at) => `${name}${at}: *${before}`).join(', ')}, <<: *${before}}`,
      )
    }
    await expect(read(lists.join('\n'))).rejects.toThrow(/line 5: its references make it too large/)
    await expect(read(maps.join('\n'))).rejects.toThrow(
      /line \d+: (?:its references make it too large|it has too many entries)/,
    )
  })
})
