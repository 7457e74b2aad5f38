import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { checkProvenance } from './provenance.ts'
import { manifest, writeTree } from './tree.testing.ts'

const proof = { attestations: [{ predicateType: 'https://slsa.dev/provenance/v1' }] }
const signatureOnly = { attestations: [{ predicateType: 'https://github.com/npm/attestation/publish' }] }

test('a version that is not there, or came without provenance, is told', async () => {
  const known: Readonly<Record<string, object>> = {
    '/@disk-image%2fcore/1.0.0': {},
    '/-/npm/v1/attestations/@disk-image%2fcore@1.0.0': proof,
    '/@disk-image%2fhost/1.0.0': {},
    '/@disk-image%2fvhd/1.0.0': {},
    '/-/npm/v1/attestations/@disk-image%2fvhd@1.0.0': signatureOnly,
  }
  const server = createServer((request, response) => {
    const answer = known[request.url ?? '']
    response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? {}))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  using tree = writeTree({
    'packages/cli/package.json': manifest('cli'),
    'packages/core/package.json': manifest('core'),
    'packages/host/package.json': manifest('host'),
    'packages/vhd/package.json': manifest('vhd'),
  })
  const { port } = server.address() as AddressInfo
  const problems = await checkProvenance(tree.root, `http://127.0.0.1:${port}`)
  server.close()
  expect(problems).toEqual([
    { where: 'packages/cli', what: '1.0.0 is not in the registry (404)' },
    { where: 'packages/host', what: '1.0.0 was published without provenance (404)' },
    { where: 'packages/vhd', what: '1.0.0 has attestations, but none of its provenance' },
  ])
})
