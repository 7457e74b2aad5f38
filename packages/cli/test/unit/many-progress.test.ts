import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createManyProgress, fitEnd, fitStart, textWidth } from '../../src/output/many-progress.ts'
import { Screen } from '../helpers/screen.ts'

const MiB = 1024 * 1024

/** A display on a terminal of changing size. */
function onTerminal(columns: number, total: number, rows = 24) {
  const screen = new Screen(columns)
  let now = 0
  const stream = { write: (text: string) => screen.write(text), isTTY: true, columns, rows }
  const display = createManyProgress(stream, total, 'bar', () => now)
  return {
    screen,
    display,
    stream,
    later: (ms: number) => {
      now += ms
    },
    resize: (width: number) => {
      stream.columns = width
      screen.columns = width
    },
  }
}

const download = (completed: number, total: number) =>
  ({ stage: 'download', unit: 'bytes', completed: completed * MiB, total: total * MiB }) as const

test('a line for each that runs, one for all, and what is over stands above', () => {
  const { display, screen, later } = onTerminal(100, 3)
  display.begin(1, '/volumes/a')
  display.begin(2, '/volumes/b')
  later(100)
  display.reportOn(1, download(10, 100))
  later(1000)
  display.reportOn(1, download(60, 100))
  expect(screen.lines).toEqual([
    '/volumes/a   60 %  download  60 MiB  50 MiB/s  0.8 s left',
    '/volumes/b  begins',
    '0 of 3  50 MiB/s  1.1 s',
    '',
  ])
  display.end(1, () => screen.write('done    a → /volumes/a\n'), 'done')
  display.end(2, () => screen.write('FAILED  b → /volumes/b\n'), 'failed')
  display.begin(3, '/volumes/c')
  later(200)
  display.reportOn(3, { stage: 'convert', unit: 'percent', completed: 7 })
  expect(screen.lines).toEqual([
    'done    a → /volumes/a',
    'FAILED  b → /volumes/b',
    '/volumes/c    7 %  convert',
    '2 of 3  1 failed  1.3 s',
    '',
  ])
  display.finish()
  expect(screen.lines).toEqual(['done    a → /volumes/a', 'FAILED  b → /volumes/b', ''])
})

test('whatever the width, and however it changes: nothing is left over, nothing of what is over is lost', () => {
  const step = fc.record({
    id: fc.nat({ max: 5 }),
    width: fc.integer({ min: 1, max: 120 }),
    what: fc.constantFrom('report', 'end', 'begin', 'resize', 'report'),
    ms: fc.nat({ max: 300 }),
  })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 120 }), fc.array(step, { maxLength: 40 }), (columns, steps) => {
      const { display, screen, later, resize } = onTerminal(columns, 9, 5)
      const ended: string[] = []
      for (const [at, { id, what, ms, width }] of steps.entries()) {
        later(ms)
        if (what === 'begin') display.begin(id, `/a/rather/long/path/of/a/volume/number-${id}`)
        else if (what === 'report') display.reportOn(id, download(at, 100))
        else if (what === 'resize') resize(width)
        else {
          const line = `E${at}.`
          ended.push(line)
          display.end(id, () => screen.write(`${line}\n`), 'done')
        }
      }
      display.finish()
      expect(screen.lines.join('')).toBe(ended.join(''))
    }),
    { numRuns: 300 },
  )
})

test('more than the window has lines are counted', () => {
  const { display, screen, later } = onTerminal(60, 50, 6)
  for (let id = 0; id < 20; id += 1) display.begin(id, `v${id}`)
  later(500)
  display.reportOn(0, download(1, 2))
  expect(screen.lines).toHaveLength(6)
  expect(screen.lines[3]).toBe('… and 17 more')
})

test('names that would steer the terminal, or are wide, take the room that they take', () => {
  const { display, screen, later } = onTerminal(40, 1)
  display.begin(1, '/v/\u001b[2J漢字漢字漢字漢字漢字漢字')
  later(200)
  display.reportOn(1, download(1, 2))
  for (const line of screen.lines) expect(textWidth(line)).toBeLessThan(40)
  expect(textWidth('漢字e\u0301')).toBe(5)
  expect(fitStart('漢字', 3)).toBe('漢')
  expect(fitEnd('/a/漢字', 4)).toBe('…字')
  expect(fitEnd('/a/b', 4)).toBe('/a/b')
})

test('where there is no terminal: how many are over, every ten seconds', () => {
  const written: string[] = []
  let now = 0
  const display = createManyProgress({ write: (text) => written.push(text) }, 3, 'line', () => now)
  const say = (): unknown => written.push('said\n')
  for (const id of [1, 2]) {
    display.begin(id, 'a')
    display.reportOn(id, download(1, 2))
    now += 6000
    display.end(id, say, 'done')
  }
  display.drop(3)
  display.finish()
  expect(written.join('')).toBe('said\nsaid\n2 of 3  12.0 s\n')
})

test('as JSON: a line for each that runs, twice a second', () => {
  const written: string[] = []
  let now = 0
  const display = createManyProgress({ write: (text) => written.push(text) }, 1, 'json', () => now)
  display.begin(7, '/volumes/a')
  for (const completed of [10, 20, 30]) {
    display.reportOn(7, download(completed, 100))
    now += 300
  }
  const lines = written.map((line) => JSON.parse(line) as object)
  expect(lines).toMatchObject([
    { line: 7, volume: '/volumes/a', bytes: 10 * MiB },
    { line: 7, stage: 'download', bytes: 30 * MiB, total: 100 * MiB, fraction: 0.3 },
  ])
})
