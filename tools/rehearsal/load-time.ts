import { run } from './run.ts'

const program = `
const [specifier] = process.argv.slice(1)
const started = performance.now()
await import(specifier)
console.log(performance.now() - started)
process.exit()
`

/** Milliseconds of the first import in a process of its own, several times. */
export async function measureLoad(project: string, specifier: string, runs = 9): Promise<number[]> {
  const times: number[] = []
  for (let index = 0; index < runs; index += 1) {
    const words = ['--input-type=module', '--eval', program, specifier]
    times.push(Number(await run(process.execPath, words, { cwd: project })))
  }
  return times
}
