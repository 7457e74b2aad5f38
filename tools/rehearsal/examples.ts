import { existsSync, readFileSync, statSync } from 'node:fs'
import { cpSync } from 'node:fs'
import path from 'node:path'
import { diskBytes, type Stage } from './stage.ts'

/** How one package's first example is run, and what must come of it. */
export interface ExampleRun {
  readonly args?: readonly string[]
  /** A file for its standard input. */
  readonly input?: string
  /** JavaScript that is run before it, in the same project. */
  readonly before?: string
  /** The README's next code block runs beside it, and is stopped afterwards. */
  readonly withNext?: boolean
  /** Throws, or says what is wrong. */
  check(output: string, project: string): string | undefined
}

const says =
  (...parts: readonly string[]) =>
  (output: string): string | undefined => {
    const missing = parts.filter((part) => !output.includes(part))
    return missing.length === 0 ? undefined : `should have said ${missing.join(' and ')}, but said: ${output}`
  }

/** Puts the stage's image into the folder store that the example opens. */
function fillStore(stage: Stage): string {
  return `
import { readFileSync } from 'node:fs'
import { createDirectoryImageService } from '@disk-image/image-utils'
const store = createDirectoryImageService({ directory: ${JSON.stringify(stage.paths['/var/lib/images'])} })
const image = { id: ${JSON.stringify(stage.imageId)}, disk_format: 'qcow2', container_format: 'bare' }
const data = { async *open() { yield readFileSync(${JSON.stringify(stage.qcow2)}) } }
await store.create({}, image, { data })
`
}

/** How to run the examples that need more than to be started; any other must end with 0. */
export function exampleRuns(stage: Stage): Readonly<Record<string, ExampleRun>> {
  const volume = stage.paths['/dev/vg/volume-1'] ?? ''
  return {
    core: { check: says('IMAGE_UNACCEPTABLE refused', 'It has a backing file') },
    'format-policy': { input: stage.qcow2, check: says(`qcow2 ${diskBytes} true`) },
    'glance-client': {
      args: [stage.imageId],
      check: (_output, project) =>
        readFileSync(path.join(project, 'image.raw')).equals(readFileSync(stage.qcow2))
          ? undefined
          : 'image.raw is not the image',
    },
    host: { check: says("format: 'raw'", `'virtual-size': ${diskBytes}`) },
    'image-utils': {
      before: fillStore(stage),
      check: (output) => {
        if (statSync(volume).size < diskBytes) return `${volume} is too small`
        return says('qcow2', 'sha512', 'verified: true')(output)
      },
    },
    'qemu-img': {
      check: (output) => (existsSync(volume) ? says('100 %')(output) : `${volume} was not made`),
    },
    fleet: { withNext: true, check: says('completed') },
    vhd: { check: says(String(20 * 1024 ** 3)) },
    cli: { check: says('qcow2', stage.imageId) },
  }
}

/** What lies in the project's folder when the example of a command is typed. */
export function placeFiles(stage: Stage, project: string): void {
  cpSync(stage.qcow2, path.join(project, 'ubuntu.qcow2'))
}
