import { createDirectoryImageService, createImageUtils } from '@disk-image/image-utils'
import { VolumeBackup } from './backup.ts'

const [command, directory = '', ...words] = process.argv.slice(2)
const imageService = createDirectoryImageService({ directory })
const backup = new VolumeBackup(createImageUtils({ imageService }), imageService, 7)

const controller = new AbortController()
process.once('SIGINT', () => controller.abort())

if (command === 'backup') {
  for (const volume of words) console.log(volume, await backup.backUp(volume, controller.signal))
} else if (command === 'list') {
  for (const volume of words)
    for (const { id, name, size } of await backup.list(volume)) console.log(id, name, size)
} else if (command === 'restore' && words.length === 2) {
  await backup.restore(words[0] ?? '', words[1] ?? '', controller.signal)
} else {
  console.error('backup DIRECTORY VOLUME... | list DIRECTORY VOLUME... | restore DIRECTORY IMAGE VOLUME')
  process.exitCode = 2
}
