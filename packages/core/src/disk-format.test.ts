import { expect, test } from 'vitest'
import { fromQemuFormat, toQemuFormat } from './disk-format.ts'

test.each([
  ['iso', 'raw'],
  ['vhd', 'vpc'],
  ['ploop', 'parallels'],
  ['qcow2', 'qcow2'],
  ['ISO', 'ISO'],
  ['toString', 'toString'],
])('%s is %s to qemu-img', (glance, qemu) => {
  expect(toQemuFormat(glance)).toBe(qemu)
})

test.each([
  ['vpc', 'vhd'],
  ['parallels', 'ploop'],
  ['raw', 'iso'],
  ['vmdk', 'vmdk'],
])('%s of qemu-img is %s', (qemu, glance) => {
  expect(fromQemuFormat(qemu)).toBe(glance)
})
