import { expect, test } from 'vitest'
import {
  fixupDiskFormat,
  formatNames,
  fromQemuFormat,
  isSameFormat,
  toGlanceFormat,
  toQemuFormat,
} from './disk-format.ts'

test.each([
  ['iso', 'raw'],
  ['vhd', 'vpc'],
  ['ploop', 'parallels'],
  ['ami', 'ami'],
  ['qcow2', 'qcow2'],
  ['ISO', 'ISO'],
  ['toString', 'toString'],
])('%s is %s to Cinder', (glance, qemu) => {
  expect(fixupDiskFormat(glance)).toBe(qemu)
})

test.each([
  ['vpc', 'vhd'],
  ['parallels', 'ploop'],
  ['raw', 'iso'],
  ['vmdk', 'vmdk'],
])('%s of qemu-img is %s', (qemu, glance) => {
  expect(fromQemuFormat(qemu)).toBe(glance)
})

test.each([
  ['vhd', 'vpc'],
  ['vpc', 'vpc'],
  ['ploop', 'parallels'],
  ['iso', 'raw'],
  ['ami', 'raw'],
  ['gpt', 'raw'],
  ['mbr', 'raw'],
  ['qcow2', 'qcow2'],
  ['toString', 'toString'],
])('%s is %s to qemu-img', (name, qemu) => {
  expect(toQemuFormat(name)).toBe(qemu)
})

test.each([
  ['vpc', 'vhd'],
  ['vhd', 'vhd'],
  ['parallels', 'ploop'],
  ['gpt', 'raw'],
  ['iso', 'iso'],
  ['ami', 'ami'],
  ['raw', 'raw'],
  ['docker', 'docker'],
])('%s is %s to Glance', (name, glance) => {
  expect(toGlanceFormat(name)).toBe(glance)
})

test('what can be written can be read, under each of its names', () => {
  const read = formatNames('read')
  expect(formatNames('write').filter((name) => !read.includes(name))).toEqual([])
  expect(read.filter((name) => !isSameFormat(name, toQemuFormat(name)))).toEqual([])
  expect(read.filter((name) => !isSameFormat(name, toGlanceFormat(name)))).toEqual([])
  expect(new Set(read).size).toBe(read.length)
})
