import { expect, test } from 'vitest'
import { judgeLoad } from './budgets.ts'
import { findUnasked } from './installed.ts'
import { readInstructions } from './readme.ts'

test('what a README tells a stranger is found', () => {
  const readme = [
    '# @disk-image/x',
    '## Install',
    '```sh',
    'npm install --save @disk-image/x @disk-image/host # both',
    'apt-get install qemu-utils',
    '```',
    '## Use',
    'First:',
    '```ts',
    'const a = 1',
    '```',
    '```js',
    'no',
    '```',
    '## API',
  ].join('\n')
  expect(readInstructions(readme)).toEqual({
    install: ['@disk-image/x', '@disk-image/host'],
    examples: [
      { language: 'ts', code: 'const a = 1\n' },
      { language: 'js', code: 'no\n' },
    ],
  })
  expect(readInstructions('# x')).toEqual({ install: [], examples: [] })
})

test('a package that nothing declares is unasked for, one that is declared at any depth is not', () => {
  const installed = [
    { directory: 'node_modules/a', name: 'a', version: '1.0.0', needs: ['b'] },
    { directory: 'node_modules/b', name: 'b', version: '1.0.0', needs: ['a'] },
    { directory: 'node_modules/c', name: 'c', version: '1.0.0', needs: [] },
    { directory: 'node_modules/b/node_modules/d', name: 'd', version: '1.0.0', needs: ['b'] },
  ]
  expect(findUnasked(installed, ['a'])).toEqual(['c', 'd'])
  expect(findUnasked(installed, ['c', 'd'])).toEqual([])
})

test('a load time is judged by its median, on a busy machine leniently by the work of its best run', () => {
  const times = [30, 10, 20].map((wallMs) => ({ wallMs, cpuMs: wallMs - 1 }))
  expect(judgeLoad(times, 20, false)).toBeUndefined()
  expect(judgeLoad(times, 19, false)).toBe('loads in 20.0 ms; the budget is 19')
  expect(judgeLoad(times, 6, true)).toBeUndefined()
  expect(judgeLoad(times, 5, true)).toBe('loads in 9.0 ms; the budget is 5')
})
