import { describe, expect, test } from 'vitest'
import { extractSamples } from '../../samples/extract.ts'

const page = (...lines: string[]): ReturnType<typeof extractSamples> =>
  extractSamples('docs/page.md', lines.join('\n'))

test('every ts block is a sample, with its page and line', () => {
  expect(page('# Title', '', '```ts', 'const one = 1', '```', '```json', '{}', '```')).toEqual([
    { page: 'docs/page.md', line: 4, language: 'ts', text: 'const one = 1', notRun: undefined },
  ])
})

test('of shell blocks only those with our command are samples', () => {
  const samples = page('```sh', 'npm install', '```', '```sh', 'id=$(disk-image image list)', '```')
  expect(samples.map(({ text }) => text)).toEqual(['id=$(disk-image image list)'])
})

test('a sample inside of a list loses its indentation', () => {
  expect(page('1. First', '', '   ```ts', '   if (1) {', '     go()', '   }', '   ```')[0]?.text).toBe(
    'if (1) {\n  go()\n}',
  )
})

describe('markers', () => {
  test('a reason keeps a sample from being run', () => {
    const [sample] = page('<!-- sample: compile-only because it needs a cloud -->', '', '```ts', 'a()', '```')
    expect(sample?.notRun).toBe('it needs a cloud')
  })

  test('a sample that continues has the text of the one before, and no import twice', () => {
    const samples = page(
      "```ts\nimport { a } from 'a'\na(1)\n```\nMore:\n<!-- sample: continues -->",
      "```ts\nimport { a } from 'a'\na(2)\n```",
    )
    expect(samples[1]?.text).toBe("import { a } from 'a'\na(1)\na(2)")
  })

  test.each([
    [['<!-- sample: no-run -->', '```ts', '```'], 'is none of'],
    [['<!-- sample: maybe because so -->', '```ts', '```'], 'is none of'],
    [['<!-- sample: no-run because so -->', 'Text.'], 'no code block'],
    [['<!-- sample: no-run because so -->', '```json', '```'], 'no sample'],
    [['<!-- sample: continues -->', '```ts', '```'], 'continues no sample'],
    [['<!-- sample: continues -->', '<!-- sample: continues -->'], 'another marker'],
  ])('%j is refused', (lines, reason) => {
    expect(() => page(...lines)).toThrow(reason)
  })
})
