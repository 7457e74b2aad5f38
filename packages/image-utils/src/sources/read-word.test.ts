import { expect, test } from 'vitest'
import { nameOfWord, readWord, type Word } from './read-word.ts'

const id = '0e4fcd5c-7a2f-4a36-9b0a-5d9a0b0b7a11'
const image = (name: string, isId = false): Word => ({ kind: 'image', name, isId })
const file = (path: string): Word => ({ kind: 'file', path })
const remote = (scheme: 'https' | 'http' | 's3' | 'oci', reference: string): Word => ({
  kind: 'remote',
  scheme,
  reference,
})

/** The word, and what it is among images; and among files, where that is something else. */
const table: readonly (readonly [word: string, among: Word, amongFiles?: Word])[] = [
  [id, image(id, true)],
  [id.toUpperCase(), image(id.toUpperCase(), true)],
  [id.replaceAll('-', ''), image(id.replaceAll('-', ''), true)],
  ['ubuntu-24.04', image('ubuntu-24.04'), file('ubuntu-24.04')],
  ['disk.qcow2', image('disk.qcow2'), file('disk.qcow2')],
  ['images/disk.qcow2', image('images/disk.qcow2'), file('images/disk.qcow2')],
  ['ubuntu:24.04', image('ubuntu:24.04'), file('ubuntu:24.04')],
  ['C:disk', image('C:disk'), file('C:disk')],
  ['--odd', image('--odd'), file('--odd')],
  ['image:ubuntu-24.04', image('ubuntu-24.04')],
  ['image:./disk', image('./disk')],
  [`image:${id}`, image(id, true)],
  [`./${id}`, file(`./${id}`)],
  ['./ubuntu-24.04', file('./ubuntu-24.04')],
  ['../disk.raw', file('../disk.raw')],
  ['/srv/disk.img', file('/srv/disk.img')],
  ['//srv/disk.img', file('//srv/disk.img')],
  ['.', file('.')],
  ['..', file('..')],
  ['.hidden', image('.hidden'), file('.hidden')],
  ['./https://host/disk', file('./https://host/disk')],
  ['file:disk.raw', file('disk.raw')],
  ['file:/srv/a%20b.img', file('/srv/a%20b.img')],
  ['file:///srv/a%20b.img', file('/srv/a b.img')],
  ['file://localhost/srv/disk.img', file('/srv/disk.img')],
  ['-', { kind: 'standard-input' }],
  ['https://host/disk.qcow2?a=b', remote('https', 'https://host/disk.qcow2?a=b')],
  ['HTTPS://host/disk', remote('https', 'HTTPS://host/disk')],
  ['http://host/disk', remote('http', 'http://host/disk')],
  ['https:disk', image('https:disk'), file('https:disk')],
  ['s3://bucket/key', remote('s3', 's3://bucket/key')],
  ['oci://host/repository:tag', remote('oci', 'oci://host/repository:tag')],
  ['oci:folder:tag', remote('oci', 'oci:folder:tag')],
]

test('a word is what it is written as', () => {
  for (const [word, among, amongFiles = among] of table) {
    expect([word, readWord(word)]).toEqual([word, among])
    expect([word, readWord(word, 'file')]).toEqual([word, amongFiles])
  }
})

test.each([
  ['', /A source is needed/],
  ['  ', /A source is needed/],
  ['a\0b', /A source is needed/],
  ['file:', /file: needs a path/],
  ['file://host/srv/disk', /no file of this host/],
  ['ftp://host/disk', /No source has the scheme ftp:/],
  ['docker://host/repository', /No source has the scheme docker:/],
])('%j is refused', (word, message) => {
  expect(() => readWord(word)).toThrow(message)
})

test.each([
  ['https://user:secret@host:8443/disk.raw?X-Amz-Signature=secret#secret', 'https://host:8443/disk.raw'],
  ['https://a@b@host/disk', 'https://host/disk'],
  ['oci://user:secret@host/repository@sha256:00', 'oci://host/repository@sha256:00'],
  ['./a@b?c', './a@b?c'],
  ['image:a@b', 'a@b'],
  ['-', 'standard input'],
])('%s is called %s', (word, name) => {
  expect(nameOfWord(readWord(word))).toBe(name)
})
