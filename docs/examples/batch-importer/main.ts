import { readFile } from 'node:fs/promises'
import { createGlanceClient, createGlanceImageService, loadSession } from '@disk-image/image-utils/glance'
import { importAll } from './import-all.ts'

const [list = '', target] = process.argv.slice(2)
const sources = (await readFile(list, 'utf8'))
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))

// A URL is a Glance without authentication; otherwise the cloud of clouds.yaml, or of the OS_* variables.
await using glance = createGlanceClient(
  target?.startsWith('http') === true
    ? { endpoint: target }
    : await loadSession({ environment: process.env, cloud: target }),
)
for await (const { outcome, source, imageId, format, reason } of importAll(
  sources,
  createGlanceImageService(glance),
)) {
  console.log([outcome, source, imageId ?? reason, format].filter((word) => word !== undefined).join('  '))
  if (outcome !== 'imported') process.exitCode = 1
}
