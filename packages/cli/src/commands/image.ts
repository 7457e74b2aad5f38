import { type Command, Option } from 'commander'
import { createImage, type CreateFlags } from './image-create.ts'
import { importImage, type ImportFlags } from './image-import.ts'
import { saveImage } from './image-save.ts'
import {
  listImages,
  type ListFlags,
  setProperties,
  type SetFlags,
  unsetProperties,
  type UnsetFlags,
  deleteImages,
  listStores,
  showImage,
} from './image-show.ts'
import { withJudgeOptions } from './judge-upload.ts'
import { type SourceFlags, withDiskOption, withSourceOptions } from './open-word.ts'
import type { Perform } from './perform.ts'
import { collect, collectProperty, diskFormat, formatName, size, wholeNumber } from './values.ts'

const createNotes = `
Without --file the image has no data yet: disk-image upload VOLUME --image ID fills it. The file is inspected and
judged as an upload is, and stored as it is; without --disk-format it is what the inspection finds.

Examples:
  $ disk-image image create --name ubuntu --disk-format qcow2 --file ubuntu.qcow2
  $ disk-image image create --name empty --disk-format raw`

const importNotes = `
Without IMAGE an image is made first; --name and --disk-format say what it is.

Examples:
  $ disk-image image import IMAGE --file disk.qcow2
  $ disk-image image import --name cirros --disk-format qcow2 --uri https://example.org/cirros.img
  $ disk-image image import IMAGE --method copy-image --to-store slow`

/** `disk-image image …`: the images themselves. */
export function addImageCommands(program: Command, perform: Perform): void {
  const image = program
    .command('image')
    .summary('list, show, save, create, change, delete and import images')
    .description('The images themselves.')
  addReadingCommands(image, perform)
  addChangingCommands(image, perform)
  withDiskOption(withSourceOptions(withJudgeOptions(image.command('create'))))
    .summary('make an image, with or without data')
    .description('Makes an image, and prints its id.')
    .requiredOption('--name <name>', "the image's name")
    .option('--file <file>', 'the data: a file, - for standard input, image:NAME, or another source')
    .option('--disk-format <format>', 'raw, qcow2, vhd, vhdx, vmdk, vdi, iso …', diskFormat('--disk-format'))
    .option('--container-format <format>', 'bare, ovf, compressed …', formatName('--container-format'))
    .option('--property <key=value>', 'a property; may be repeated', collectProperty)
    .option(
      '--properties-from-ovf',
      'of an OVA: take bus, firmware, guest and smallest disk from its descriptor; --property wins',
    )
    .option('--tag <tag>', 'a tag; may be repeated', collect)
    .addOption(
      new Option('--visibility <who>', 'who may see it').choices([
        'private',
        'shared',
        'community',
        'public',
      ]),
    )
    .option('--protected', 'refuse to delete it')
    .option(
      '--min-disk <size>',
      'the smallest disk that it fits, in GiB or with a unit',
      size('--min-disk', { plain: 'G', whole: true, zero: true }),
    )
    .option(
      '--min-ram <size>',
      'the least memory that it needs, in MiB or with a unit',
      size('--min-ram', { plain: 'M', whole: true, zero: true }),
    )
    .option('--id <uuid>', 'the id that it shall have')
    .option('--store-id <id>', 'the store that takes the data')
    .addHelpText('after', createNotes)
    .action(perform<CreateFlags>(createImage))
  withJudgeOptions(image.command('import'))
    .summary("let Glance fetch or copy an image's data")
    .description("Lets Glance import an image's data, and waits until it is there.")
    .argument('[image]', "the image's id")
    .addOption(
      new Option('--method <method>', '(default: by --file, --uri or --to-store)').choices([
        'glance-direct',
        'web-download',
        'copy-image',
      ]),
    )
    .option('--file <file>', 'for glance-direct: the data; - for standard input')
    .option('--uri <uri>', 'for web-download: where Glance shall get the data')
    .option('--to-store <id>', 'a store that shall have the data; may be repeated', collect)
    .option('--all-stores', 'every store shall have the data')
    .option('--name <name>', 'make an image of this name')
    .option('--disk-format <format>', 'its format', diskFormat('--disk-format'))
    .option('--container-format <format>', "(default: 'bare')", formatName('--container-format'))
    .addHelpText('after', importNotes)
    .action(perform<ImportFlags>(importImage))
}

function addChangingCommands(image: Command, perform: Perform): void {
  image
    .command('set')
    .summary('set properties of an image')
    .description('Sets properties of an image; all others stay.')
    .argument('<image>', "the image's id")
    .option('--property <key=value>', 'a property; may be repeated', collectProperty)
    .action(perform<SetFlags>(setProperties))
  image
    .command('unset')
    .summary('remove properties of an image')
    .description('Removes properties of an image; all others stay.')
    .argument('<image>', "the image's id")
    .option('--property <key>', 'a property; may be repeated', collect)
    .action(perform<UnsetFlags>(unsetProperties))
}

function addReadingCommands(image: Command, perform: Perform): void {
  image
    .command('list')
    .summary('list images')
    .description('Lists images, newest first.')
    .option('--name <name>', 'only of this name')
    .option('--status <status>', 'only in this status, for example active')
    .option('--disk-format <format>', 'only of this format', diskFormat('--disk-format'))
    .addOption(
      new Option('--visibility <who>', 'only those').choices([
        'private',
        'shared',
        'community',
        'public',
        'all',
      ]),
    )
    .option('--property <key=value>', 'only with this property; may be repeated', collectProperty)
    .option('--limit <n>', 'at most so many', wholeNumber('--limit', 1))
    .action(perform<ListFlags>(listImages))
  image
    .command('show')
    .summary('everything about an image')
    .description('Shows everything that is recorded about an image.')
    .argument('<image>', "the image's id")
    .action(perform<object>(showImage))
  withSourceOptions(image.command('save'))
    .summary('the data of an image, as they are stored')
    .description(
      'Saves the data of an image as they are stored, whatever they are: compared with its record, not inspected.',
    )
    .argument('<image>', "an image's id or name; ./file, a URL, or another source")
    .argument('<file>', 'a file, made when missing, or - for standard output')
    .action(perform<SourceFlags>(saveImage))
  image
    .command('delete')
    .summary('delete images')
    .description('Deletes images and their data.')
    .argument('<image...>', 'ids')
    .action(perform<object>(deleteImages))
  image
    .command('stores')
    .summary('the stores that keep the data')
    .description('Lists the stores that keep the data.')
    .action(perform<object>(listStores))
}
