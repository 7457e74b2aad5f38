import { expect, test } from 'vitest'
import { parseOciReference } from './reference.ts'

const digest = `sha256:${'0a'.repeat(32)}`

test.each([
  ['oci://quay.io/containerdisks/fedora:40', ['quay.io', 'containerdisks/fedora', '40', undefined]],
  ['oci://localhost:5000/a', ['localhost:5000', 'a', 'latest', undefined]],
  ['oci://[::1]:5000/a/b_c:T.1', ['[::1]:5000', 'a/b_c', 'T.1', undefined]],
  [`oci://Registry.Example/a@${digest}`, ['registry.example', 'a', undefined, digest]],
  [`oci://r.example/a:1@${digest}`, ['r.example', 'a', '1', digest]],
  ['oci://docker.io/debian', ['registry-1.docker.io', 'library/debian', 'latest', undefined]],
  ['oci://docker.io/org/debian:12', ['registry-1.docker.io', 'org/debian', '12', undefined]],
])('an image in a registry: %s', (text, [host, repository, tag, pinned]) => {
  expect(parseOciReference(text)).toEqual({ kind: 'registry', host, repository, tag, digest: pinned })
})

test.each([
  ['oci:./images', ['./images', undefined, undefined]],
  ['oci:/srv/images:debian', ['/srv/images', 'debian', undefined]],
  ['oci:/srv/a:b/images', ['/srv/a:b/images', undefined, undefined]],
  [`oci:me@home@${digest}`, ['me@home', undefined, digest]],
])('an image in a folder: %s', (text, [folder, tag, pinned]) => {
  expect(parseOciReference(text)).toEqual({ kind: 'layout', folder, tag, digest: pinned })
})

test.each([
  'docker://quay.io/a',
  'oci:',
  'oci://',
  'oci://quay.io',
  'oci://quay.io/',
  'oci://quay.io/UPPER',
  'oci://quay.io/a//b',
  'oci://quay.io/../a',
  'oci://quay.io/a?b',
  'oci://quay.io/a:-',
  'oci://qu ay.io/a',
  'oci://quay.io:port/a',
  'oci://quay.io/a@sha256:00',
  `oci://quay.io/a@md5:${'0'.repeat(32)}`,
  `oci://quay.io/${'a'.repeat(2000)}`,
])('no reference: %s', (text) => {
  expect(() => parseOciReference(text)).toThrow(/is no reference to an OCI image/)
})

test('a password in a reference is refused, and not repeated', () => {
  expect(() => parseOciReference('oci://me:geheim@quay.io/a')).toThrow(/^((?!geheim).)*credential file$/)
})
