import { type Command, Option } from 'commander'
import type { Perform } from './perform.ts'
import {
  coalesceVhds,
  type CoalesceFlags,
  flattenVhds,
  type FlattenFlags,
  createVhdFile,
  type CreateVhdFlags,
  reparentVhd,
  type ReparentFlags,
  resizeVhdFile,
} from './vhd-change.ts'
import { checkVhdFile, repairVhdFile, type RepairFlags, showVhdInfo } from './vhd-examine.ts'

const coalesceNotes = `
The children are only read; they may be removed afterwards. A run that was cut off is completed by running it
again. The size of a base that is too small grows.

Examples:
  $ disk-image vhd coalesce leaf.vhd middle.vhd base.vhd
  $ disk-image vhd coalesce leaf.vhd base.vhd --copy          for files that nobody vouches for`

const flattenNotes = `
Examples:
  $ disk-image vhd flatten disk.raw leaf.vhd base.vhd
  $ disk-image vhd flatten azure.vhd leaf.vhd base.vhd --to fixed`

const createNotes = `
Examples:
  $ disk-image vhd create disk.vhd 10G
  $ disk-image vhd create snapshot.vhd --parent disk.vhd`

/** `disk-image vhd …`: VHD files and chains of them. */
export function addVhdCommands(program: Command, perform: Perform): void {
  const vhd = program
    .command('vhd')
    .summary('look at, repair, resize, merge and make VHD files')
    .description('VHD files, and chains of them, leaf first and base last.')
  vhd
    .command('info')
    .description('Shows what a VHD says of itself.')
    .argument('<file>')
    .action(perform<object>(showVhdInfo))
  vhd
    .command('check')
    .description('Checks every invariant of a VHD, and of its parents. Exits with 3 where one is broken.')
    .argument('<file>')
    .option('--no-parents', "don't look the parents up: for files that nobody vouches for")
    .action(perform<{ parents: boolean }>(checkVhdFile))
  vhd
    .command('repair')
    .description('Repairs what has one right answer: a footer from its copy, a torn end, a damaged batmap.')
    .argument('<file>')
    .option('--dry-run', 'only say what would be done')
    .option('--assign-uuid', 'give a disk without a uuid one')
    .action(perform<RepairFlags>(repairVhdFile))
  vhd
    .command('resize')
    .description('Makes a VHD larger. What is new reads as zero.')
    .argument('<file>')
    .argument('<size>', 'the new size, for example 10G; in MiB where it has no unit; rounded up to 2 MiB')
    .action(perform<object>(resizeVhdFile))
  vhd
    .command('reparent')
    .description('Writes into a differencing VHD who its parent is.')
    .argument('<child>')
    .argument('<parent>')
    .addOption(
      new Option('--parent-format <format>', 'what the parent is').choices(['vhd', 'raw']).default('vhd'),
    )
    .action(perform<ReparentFlags>(reparentVhd))
  addChainCommands(vhd, perform)
  vhd
    .command('create')
    .description('Makes an empty VHD, or with --parent an empty child of a disk.')
    .argument('<file>', 'a file, made when missing')
    .argument('[size]', "for example 10G; in MiB where it has no unit; of a child: the parent's by default")
    .addOption(new Option('--type <type>', 'what is made').choices(['dynamic', 'fixed']).default('dynamic'))
    .option('--parent <file>', 'make a differencing child of this disk')
    .addOption(
      new Option('--parent-format <format>', 'what the parent is').choices(['vhd', 'raw']).default('vhd'),
    )
    .addHelpText('after', createNotes)
    .action(perform<CreateVhdFlags>(createVhdFile))
}

function addChainCommands(vhd: Command, perform: Perform): void {
  vhd
    .command('coalesce')
    .summary('merge a chain into its base')
    .description('Merges a chain, leaf first, into its base, in one pass.')
    .usage('[options] LEAF … BASE')
    .argument('<leaf>')
    .argument('<others...>', "from the leaf's parent to the base")
    .option('--copy', "merge into a copy, which then takes the base's name")
    .option('--ignore-ids', 'the order of the files alone says who is whose parent')
    .addHelpText('after', coalesceNotes)
    .action(perform<CoalesceFlags>(coalesceVhds))
  vhd
    .command('flatten')
    .summary('a chain as one new file')
    .description('Writes a VHD, or a chain of them, leaf first, as one new file.')
    .usage('[options] OUT LEAF … BASE')
    .argument('<out>', 'a file, made when missing')
    .argument('<disks...>', 'leaf first, base last')
    .addOption(
      new Option('--to <format>', 'what OUT becomes').choices(['raw', 'fixed', 'dynamic']).default('raw'),
    )
    .option('--ignore-ids', 'the order of the files alone says who is whose parent')
    .addHelpText('after', flattenNotes)
    .action(perform<FlattenFlags>(flattenVhds))
}
