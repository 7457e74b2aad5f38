import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseEntry } from '../../src/commands/list-entry.ts'
import { maximumLineBytes, readLines, type ListLine } from '../../src/commands/read-list.ts'
import { UsageError } from '../../src/usage-error.ts'

async function linesOf(chunks: readonly Uint8Array[]): Promise<ListLine[]> {
  const source = (async function* () {
    yield* chunks
  })()
  const lines: ListLine[] = []
  for await (const line of readLines(source)) lines.push(line)
  return lines
}

const text = async (content: string): Promise<(string | undefined)[]> =>
  (await linesOf([Buffer.from(content)])).map((line) => line.text)

/** What is thrown that is not for the user. */
function problemOf(line: string, number: number): unknown {
  try {
    parseEntry(line, number)
    return undefined
  } catch (error) {
    return error instanceof UsageError ? undefined : error
  }
}

test('lines of every kind', async () => {
  expect(await text('')).toEqual([])
  expect(await text('a\nb')).toEqual(['a', 'b'])
  expect(await text('\ufeffa\r\n\r\nb\r\n')).toEqual(['a', '', 'b'])
  expect(await text('a\n\ufeffb\n')).toEqual(['a', '\ufeffb'])
})

test('what is no text is told with its line', async () => {
  const bad = await linesOf([
    Buffer.from('a\nb\0c\n'),
    Buffer.from([0xff, 0xfe, 0x61, 0x0a]),
    Buffer.from('d'),
  ])
  expect(bad.map(({ number, problem }) => [number, problem])).toEqual([
    [1, undefined],
    [2, 'it has a NUL byte: this is no text'],
    [3, 'it is not UTF-8'],
    [4, undefined],
  ])
  const long = await linesOf([Buffer.alloc(maximumLineBytes, 'x'), Buffer.from('x\nshort\n')])
  expect(long.map(({ text: line, problem }) => line ?? problem)).toEqual([
    `it has ${maximumLineBytes + 1} bytes; ${maximumLineBytes} are the most`,
    'short',
  ])
})

test('however the bytes are cut, the lines are the same, and garbage never breaks out', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.nat({ max: 200 })),
      async (bytes, cuts) => {
        const whole = await linesOf([bytes])
        const points = [
          0,
          ...cuts.filter((cut) => cut < bytes.length).toSorted((a, b) => a - b),
          bytes.length,
        ]
        const parts = points.slice(1).map((end, index) => bytes.slice(points[index], end))
        expect(await linesOf(parts)).toEqual(whole)
        for (const { text: line, number } of whole) {
          expect(problemOf(line ?? '', number)).toBeUndefined()
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('words and objects say the same', () => {
  const words = parseEntry(
    '  id\t/dev/vg/x  format=qcow2 size=1.5 disable-sparse=true no-sync=true connections=4  # mine',
    7,
  )
  const object = parseEntry(
    '{"image":"id","volume":"/dev/vg/x","format":"qcow2","size":1.5,"disable-sparse":true,"no-sync":true,"connections":4}',
    7,
  )
  expect(words).toEqual({
    line: 7,
    imageId: 'id',
    volume: '/dev/vg/x',
    flags: { format: 'qcow2', size: 1.5, disableSparse: true, sync: false, connections: 4 },
  })
  expect(object).toEqual(words)
  expect(parseEntry('{"image":"a b","volume":"with blanks"}', 1)).toMatchObject({
    imageId: 'a b',
    volume: 'with blanks',
  })
  for (const nothing of ['', '   ', '# a remark', '\t#']) expect(parseEntry(nothing, 1)).toBeUndefined()
  expect(parseEntry('id disk.raw subformat=a=b', 1)?.flags).toEqual({ subformat: 'a=b' })
})

test.each([
  ['id', 'A destination is missing'],
  ['id # dest', 'A destination is missing'],
  ['id dest more', '"more" is not KEY=VALUE'],
  ['id dest =x', '"=x" is not KEY=VALUE'],
  ['id dest frob=1', 'There is no key "frob"; there are: format, subformat'],
  ['id dest __proto__=1', 'There is no key "__proto__"'],
  ['id dest format=frob', 'format is frob, which is no format that can be written'],
  ['id dest size=-1', 'size must be a size such as'],
  ['id dest size=1 size=2', 'The key size is given twice'],
  ['id dest disable-sparse=yes', 'disable-sparse must be true or false; it is "yes"'],
  ['id dest no-sync=1', 'no-sync must be true or false; it is "1"'],
  ['id dest connections=0', 'connections must be a whole number, 1 or more'],
  ['{"image":', 'It begins like a JSON object, and is none'],
  ['{"image":1,"volume":"x"}', '"image" must be a string'],
  ['{"image":"x"}', '"volume" must be a string'],
  ['{"image":"","volume":"x"}', 'The image is empty'],
  ['{"image":"x","volume":"a\\u0000b"}', 'The destination has a NUL character'],
  ['{"image":"x","volume":"y","size":null}', '"size" must be a string, a number, true or false'],
  ['{"image":"x","volume":"y","__proto__":{"size":1}}', '"__proto__" must be a string'],
])('%s is refused', (line, message) => {
  expect(() => parseEntry(line, 1)).toThrow(UsageError)
  expect(() => parseEntry(line, 1)).toThrow(message)
})
