import type { FuzzCounts } from '../fuzz.ts'
import type { Simulation, SimulationResult } from './simulation.ts'

/** How the things that a scenario did ended. */
export interface ScenarioResult extends SimulationResult {
  readonly outcomes: readonly string[]
}

/** A world of a seed, run to its end. It throws where an invariant does not hold. */
export type Scenario = (seed: number) => Promise<ScenarioResult>

/** A scenario as a part of `pnpm fuzz`. */
export function asPart(scenario: Scenario): (seed: number, counts: FuzzCounts) => Promise<void> {
  return async (seed, counts) => {
    const { steps, outcomes } = await scenario(seed)
    counts['steps'] = (counts['steps'] ?? 0) + steps
    for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1
  }
}

/** Runs many seeds, and counts how what they did ended. */
export async function runSeeds(scenario: Scenario, first: number, last: number): Promise<FuzzCounts> {
  const counts: FuzzCounts = {}
  const run = asPart(scenario)
  for (let seed = first; seed <= last; seed += 1) await run(seed, counts)
  return counts
}

/** Demands an invariant. */
export function demand(holds: boolean, simulation: Simulation, what: string): asserts holds {
  if (!holds) throw new Error(`seed ${simulation.seed}, at ${simulation.nowMs.toFixed(1)} ms: ${what}`)
}
