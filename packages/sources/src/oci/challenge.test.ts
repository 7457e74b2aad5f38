import { expect, test } from 'vitest'
import { parseChallenges } from './challenge.ts'

test.each([
  [
    'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
    [
      [
        'bearer',
        {
          realm: 'https://auth.example/token',
          service: 'registry.example',
          scope: 'repository:a/b:pull,push',
        },
      ],
    ],
  ],
  ['Basic realm="a \\"b\\" c"', [['basic', { realm: 'a "b" c' }]]],
  [
    'Negotiate, Basic realm=x , BEARER Realm = "y"',
    [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
      ['bearer', { realm: 'y' }],
    ],
  ],
  ['Bearer realm="a",realm="b",scope="c"', [['bearer', { realm: 'a' }]]],
  ['Bearer realm="open', [['bearer', {}]]],
  ['realm="a"', []],
  ['', []],
  ['Basic __proto__="x"', [['basic', JSON.parse('{"__proto__":"x"}')]]],
])('%s', (header, expected) => {
  const read = parseChallenges(header).map(({ scheme, parameters }) => [scheme, { ...parameters }])
  expect(JSON.stringify(read)).toBe(JSON.stringify(expected))
})

test('no header takes long', () => {
  for (const part of ['a,', '"', 'a="\\', ' a ', 'a=b ,']) parseChallenges(part.repeat(20_000))
})
