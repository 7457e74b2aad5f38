import type { DiskState, Random, Recording } from './power-cut.ts'
import { seededRandom } from './power-cut.ts'

/** Something whose power is cut. */
export interface CutSubject {
  readonly recording: Recording
  /** What is wrong with a state; undefined where nothing is. `isDone`: the operation had ended, and promised to last. */
  readonly judge: (
    state: DiskState,
    isDone: boolean,
    random: Random,
  ) => Promise<string | undefined> | string | undefined
  /** Does the same again from a state on. @returns what is wrong then */
  readonly again?: (state: DiskState) => Promise<string | undefined>
}

/** How many states are tried, and which. */
export interface ReplayOptions {
  readonly seed: number
  readonly states: number
  /** One of so many states is gone on from. @default 25 */
  readonly againEvery?: number | undefined
}

/** What came of it. */
export interface ReplayReport {
  readonly states: number
  readonly runsAfter: number
  /** Each with its state, and the seed and number that give it again. */
  readonly failures: readonly string[]
}

/**
 * Cuts the power at every moment of a recording, and at random ones until so many states were tried. Stops at the tenth
 * failure.
 */
export async function replayCuts(
  { recording, judge, again }: CutSubject,
  { seed, states, againEvery = 25 }: ReplayOptions,
): Promise<ReplayReport> {
  const failures: string[] = []
  let runsAfter = 0
  let tried = 0
  const { moments } = recording
  for (let number = 0; number < states && failures.length < 10; number += 1) {
    const random = seededRandom(seed * 1_000_003 + number)
    // The first pass takes each moment, as far as there are states; the end is what is most often wrong.
    const moment = pickMoment(number, moments, states, random)
    const isOrdered = random() < 0.5
    const state = number % 8 === 7 ? recording.killed(moment) : recording.cut(moment, random, isOrdered)
    const where = `seed ${seed}, number ${number}, ${state.description}`
    tried += 1
    try {
      const problem = await judge(state, moment === moments, random)
      if (problem !== undefined) failures.push(`${problem} (${where})`)
      else if (again !== undefined && random() < 1 / againEvery) {
        runsAfter += 1
        const then = await again(state)
        if (then !== undefined) failures.push(`afterwards ${then} (${where})`)
      }
    } catch (error) {
      failures.push(`${String(error)} (${where})`)
    }
  }
  return { states: tried, runsAfter, failures }
}

function pickMoment(number: number, moments: number, states: number, random: Random): number {
  if (number % 16 === 15) return moments
  if (states > moments) return number % (moments + 1)
  return Math.floor(random() * (moments + 1))
}
