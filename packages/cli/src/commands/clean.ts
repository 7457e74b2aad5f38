import type { Command } from 'commander'
import type { GlobalFlags, Session } from '../session.ts'
import { exactBytes } from '../output/units.ts'
import { alignRows } from '../output/table.ts'
import type { Perform } from './perform.ts'

const notes = `
Only files whose process has ended are removed: a run that goes on keeps its own.

Examples:
  $ disk-image clean
  $ disk-image clean --conversion-dir /var/lib/cinder/conversion`

/** `disk-image clean`: what a killed run left behind. */
export function addCleanCommand(program: Command, perform: Perform): void {
  program
    .command('clean')
    .summary('remove what a killed run left behind')
    .description('Removes temporary files that a killed run left behind, and says what that was.')
    .addHelpText('after', notes)
    .action(perform<object>(clean))
}

async function clean(session: Session, _flags: GlobalFlags): Promise<void> {
  const imageUtils = await session.imageUtils()
  const removed = await imageUtils.cleanTemporaryFiles()
  const directory = imageUtils.options.imageConversionDir
  const sizeBytes = removed.reduce((sum, file) => sum + file.sizeBytes, 0)
  const lines = alignRows(removed.map((file) => [file.path, exactBytes(file.sizeBytes)]))
  const summary =
    removed.length === 0
      ? `Nothing was left behind in ${directory}.`
      : `${removed.length === 1 ? 'One file' : `${removed.length} files`} removed, ${exactBytes(sizeBytes)}.`
  session.answer({ directory, removed, sizeBytes }, [...lines, summary])
}
