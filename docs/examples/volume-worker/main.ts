import { createInterface } from 'node:readline'
import { createGlanceImageService, createImageUtils, ImageError } from '@disk-image/image-utils'

/** One line of standard input. */
interface Job {
  readonly imageId: string
  readonly volume: string
  readonly volumeSizeGiB: number
}

const [endpoint = 'http://127.0.0.1:9292'] = process.argv.slice(2)
const imageService = createGlanceImageService({ endpoint })
const imageUtils = createImageUtils({ imageService }, { sandbox: 'auto' })

const controller = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort())

function tell(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

async function work({ imageId, volume, volumeSizeGiB }: Job): Promise<void> {
  const { signal } = controller
  try {
    const report = await imageUtils.imageToVolume({ imageId, volume, volumeSizeGiB, signal })
    tell({ event: 'available', imageId, volume, format: report.format, bytesWritten: report.bytesWritten })
  } catch (error) {
    if (signal.aborted) throw error
    // A refusal is the image's fault: another try ends the same way. What merely failed may be tried again.
    const code = ImageError.is(error) ? error.code : 'UNEXPECTED'
    const again = ImageError.is(error) && error.kind === 'failed'
    tell({ event: 'error', imageId, volume, code, again, reason: (error as Error).message })
  }
}

for await (const line of createInterface({ input: process.stdin, signal: controller.signal })) {
  if (line !== '') await work(JSON.parse(line) as Job)
}
