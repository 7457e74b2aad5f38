/** Compiles and runs the samples of the pages: `node --conditions=@disk-image/source docs/samples/main.ts [PAGE …]`. */
import { checkTypes } from './check-types.ts'
import { findSamples } from './find.ts'
import { runSample } from './run.ts'
import { createStage } from './stage.ts'

const pages = process.argv.slice(2)
const samples = findSamples().filter(({ page }) => pages.length === 0 || pages.includes(page))
const problems = await checkTypes(samples.filter(({ language }) => language === 'ts'))
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1
await using stage = await createStage()
for (const sample of samples) {
  const where = `${sample.page}:${sample.line}`
  if (sample.notRun !== undefined) {
    console.log(`${where}: not run, ${sample.notRun}`)
    continue
  }
  try {
    console.log(`${where}: in order\n${(await runSample(stage, sample)).replaceAll(/^/gm, '    ')}`)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
