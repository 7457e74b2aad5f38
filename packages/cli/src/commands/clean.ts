import type { Command } from 'commander'
import type { GlobalFlags, Session } from '../session.ts'
import { exactBytes } from '../output/units.ts'
import { alignRows } from '../output/table.ts'
import type { Perform } from './perform.ts'

const notes = `
Only files whose process has ended are removed: a run that goes on keeps its own. With --store DIR uploads into
that folder that broke off are removed too; nobody should be uploading into it meanwhile.

Examples:
  $ disk-image clean
  $ disk-image clean --conversion-dir /var/lib/cinder/conversion
  $ disk-image clean --store /srv/images`

/** `disk-image clean`: what a killed run left behind. */
export function addCleanCommand(program: Command, perform: Perform): void {
  program
    .command('clean')
    .summary('remove what a killed run left behind')
    .description('Removes temporary files that a killed run left behind, and says what that was.')
    .addHelpText('after', notes)
    .action(perform<object>(clean))
}

async function clean(session: Session, flags: GlobalFlags): Promise<void> {
  const imageUtils = await session.imageUtils()
  const removed = await imageUtils.cleanTemporaryFiles()
  const uploads = flags.store === undefined ? [] : await cleanFolder(session.resolve(flags.store))
  const directory = imageUtils.options.imageConversionDir
  const sizeBytes = removed.reduce((sum, file) => sum + file.sizeBytes, 0)
  const count = removed.length + uploads.length
  const lines = alignRows([
    ...removed.map((file) => [file.path, exactBytes(file.sizeBytes)]),
    ...uploads.map((file) => [file, 'an upload that broke off']),
  ])
  const places = flags.store === undefined ? directory : `${directory} and ${session.resolve(flags.store)}`
  const summary =
    count === 0 ? `Nothing was left behind in ${places}.` : `${count === 1 ? 'One' : count} removed.`
  session.answer({ directory, removed, sizeBytes, uploads }, [...lines, summary])
}

async function cleanFolder(directory: string): Promise<string[]> {
  const { DirectoryImageService } = await import('@disk-image/image-utils/directory')
  return new DirectoryImageService({ directory }).clean()
}
