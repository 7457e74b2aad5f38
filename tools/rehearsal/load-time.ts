import { run, strangersNode } from './run.ts'

const program = `
const [specifier] = process.argv.slice(1)
const started = performance.now()
const before = process.cpuUsage()
await import(specifier)
const { user, system } = process.cpuUsage(before)
console.log(performance.now() - started, (user + system) / 1000)
process.exit()
`

/** One first import: how long it took, and how long a processor was busy with it. */
export interface LoadTime {
  readonly wallMs: number
  readonly cpuMs: number
}

/** The first import in a process of its own, several times. */
export async function measureLoad(project: string, specifier: string, runs = 9): Promise<LoadTime[]> {
  const times: LoadTime[] = []
  for (let index = 0; index < runs; index += 1) {
    const words = ['--input-type=module', '--eval', program, specifier]
    const said = await run(strangersNode, words, { cwd: project })
    const [wallMs = Number.NaN, cpuMs = Number.NaN] = said.split(' ').map(Number)
    times.push({ wallMs, cpuMs })
  }
  return times
}
