// Runs one pipeline for kill.test.ts: node kill-child.ts PIPELINE STORE CONVERSION-DIR IMAGE-ID VOLUME
import { createDirectoryImageService } from '../../src/directory/index.ts'
import { createImageUtils, parseDiskFormat } from '../../src/index.ts'

const [pipeline = '', store = '', imageConversionDir = '', imageId = '', volume = ''] = process.argv.slice(2)
const imageService = createDirectoryImageService({ directory: store })
const imageUtils = createImageUtils({ imageService }, { imageConversionDir })
process.stdout.write('ready\n')
if (pipeline === 'upload') {
  await imageUtils.volumeToImage({ image: { id: imageId, disk_format: 'qcow2' }, volume })
} else if (pipeline.startsWith('to,')) {
  const [, format = '', passphraseFile] = pipeline.split(',')
  const volumeFormat = parseDiskFormat(format, 'write')
  await imageUtils.imageToVolume({ imageId, volume, volumeFormat, passphraseFile, keyDerivationMs: 20 })
} else {
  await imageUtils.imageToVolume({ imageId, volume })
}
process.stdout.write('done\n')
