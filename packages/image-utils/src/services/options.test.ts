import { InvalidError } from '@disk-image/core'
import { expect, test } from 'vitest'
import { type ImageUtilsOptions, resolveOptions } from './options.ts'

test('the defaults are the original’s, but for the address space', () => {
  const options = resolveOptions()
  expect(options.imageCompressOnUpload).toBe(true)
  expect(options.imageConversionCpuLimitSeconds).toBe(60)
  expect(options.imageConversionAddressSpaceLimitGiB).toBe(4)
  expect(options.vmdkAllowedTypes).toEqual(['streamOptimized', 'monolithicSparse'])
  expect(options.verifyGlanceSignatures).toBe('enabled')
  expect(options.glanceNumRetries).toBe(3)
  expect(Object.isFrozen(options)).toBe(true)
  expect(Object.isFrozen(options.vmdkAllowedTypes)).toBe(true)
})

test.each<[string, unknown, RegExp]>([
  [
    'imageConversionCpuLimitSeconds',
    0,
    /imageConversionCpuLimitSeconds is 0; it must be a number of seconds above 0/,
  ],
  ['imageConversionDir', 'relative', /it must be an absolute path/],
  ['vmdkAllowedTypes', 'streamOptimized', /a list of create types/],
  ['verifyGlanceSignatures', true, /'enabled' or 'disabled'/],
  ['glanceNumRetries', -1, /a whole number, 0 or more/],
  ['allowArchivesAsRaw', 'yes', /true or false/],
  ['formatRules', { allowBackingFile: true }, /an object of allowedFormats, allowEncryption/],
  ['sandbox', 'maybe', /'auto', 'require' or 'off'/],
  ['imageConvertionDir', '/x', /There is no option imageConvertionDir/],
  ['toString', '/x', /There is no option toString/],
])('a bad %s is refused with what would be right', (name, value, message) => {
  const options = { [name]: value } as ImageUtilsOptions
  expect(() => resolveOptions(options)).toThrow(message)
  expect(() => resolveOptions(options)).toThrow(InvalidError)
})
