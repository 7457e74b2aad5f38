import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkTypes } from '../../samples/check-types.ts'
import { findSamples } from '../../samples/find.ts'
import { runSample } from '../../samples/run.ts'
import { createStage, type Stage } from '../../samples/stage.ts'

const samples = findSamples()
let stage: Stage

beforeAll(async () => {
  expect(await checkTypes(samples.filter(({ language }) => language === 'ts'))).toEqual([])
  stage = await createStage()
})

afterAll(() => stage?.[Symbol.asyncDispose]())

test('there are samples of every kind', () => {
  expect(samples.filter(({ language }) => language === 'ts').length).toBeGreaterThan(20)
  expect(samples.filter(({ language }) => language === 'sh').length).toBeGreaterThan(5)
})

describe.concurrent('every sample that can be run ends well', () => {
  test.each(
    samples
      .filter(({ notRun }) => notRun === undefined)
      .map((sample) => [`${sample.page}:${sample.line}`, sample] as const),
  )('%s', async (_, sample) => {
    await runSample(stage, sample)
  })
})
