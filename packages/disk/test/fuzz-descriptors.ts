/**
 * Damages the descriptors of OVAs and VMDKs, and manifests. What is read has no fault but a refusal with a rule, takes
 * no second and little memory; and of an OVF that Python's parser reads, too, that finds each disk's file.
 * This is `pnpm fuzz descriptors`.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { InvalidError } from '@disk-image/core'
import { fuzz, requireTool } from '@disk-image/testing'
import { parseManifest } from '../src/envelopes/archive.ts'
import { parseOvf } from '../src/envelopes/ovf.ts'
import { writeOvf } from '../src/envelopes/write-ovf.ts'
import { Random } from './random.ts'

const perCase = 200
const slowMs = 1000

/** Says of each document the names that its files have, or that it is none. */
const peer = `
import base64, json, sys
import xml.etree.ElementTree as tree
for line in sys.stdin:
    try:
        root = tree.fromstring(base64.b64decode(line))
        print(json.dumps([value for item in root.iter() for key, value in item.attrib.items() if key.split('}')[-1].lower() == 'href']))
    except Exception:
        print('null')
    sys.stdout.flush()
`
const python = spawn(requireTool('python3'), ['-c', peer], { stdio: ['pipe', 'pipe', 'inherit'] })
const answers = createInterface(python.stdout)[Symbol.asyncIterator]()

async function filesByPython(bytes: Buffer): Promise<readonly string[] | null> {
  python.stdin.write(`${bytes.toString('base64')}\n`)
  const { value } = await answers.next()
  return JSON.parse(value as string) as readonly string[] | null
}

const phrases = [
  '<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;&a;">]>',
  '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
  '&a;',
  '&#0;',
  '&#x110000;',
  '&lt;',
  '<![CDATA[',
  ']]>',
  '<!--',
  '-->',
  '<?xml version="1.0" encoding="UTF-16"?>',
  '<?x?>',
  ' xmlns="urn:x"',
  ' xmlns:ovf="urn:x"',
  ' ovf:href="../../etc/passwd"',
  ' ovf:href="/dev/sda"',
  ' ovf:chunkSize="1"',
  ' ovf:compression="gzip"',
  ' ovf:capacity="99999999999999999999"',
  ' ovf:capacityAllocationUnits="byte * 2^9999"',
  '<File ovf:id="file1" ovf:href="other"/>',
  '<Disk ovf:diskId="d" ovf:fileRef="file1" ovf:capacity="1"/>',
  '</Envelope>',
  '<Envelope>',
  '<a>'.repeat(5000),
  '\0',
  '\uFEFF',
  '\u202E',
  'SHA256(disk.vmdk)= ',
  `SHA1(${'x'.repeat(5000)})= 0`,
  '\n',
  '\r',
]

const documents = [1, 3].map((count) =>
  writeOvf(
    { name: 'machine & <co>', memoryMiB: 512, processors: 2 },
    Array.from({ length: count }, (_, at) => ({
      name: `disk-${at}.vmdk`,
      sizeBytes: 5000,
      capacityBytes: 2 ** 20,
    })),
  ),
)
const manifest = `SHA256(disk.vmdk)= ${'a'.repeat(64)}\nSHA1(m.ovf)= ${'b'.repeat(40)}\n`

function damage(random: Random, text: string): Buffer {
  let bytes = Buffer.from(text)
  for (let count = 1 + random.below(4); count > 0; count -= 1) {
    const at = random.below(bytes.length)
    const end = Math.min(bytes.length, at + 1 + random.below(random.chance(0.2) ? 2000 : 30))
    const from = random.below(bytes.length)
    const put = random.pick([
      Buffer.alloc(0),
      Buffer.from(phrases[random.below(phrases.length)] ?? ''),
      bytes.subarray(from, from + random.below(200)),
      Buffer.from([random.below(256)]),
    ])
    bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(random.chance(0.5) ? at : end)])
    if (bytes.length === 0) bytes = Buffer.from('<')
  }
  return bytes
}

/** What is read; undefined where it is refused. */
function read<Value>(parse: (bytes: Uint8Array) => Value, bytes: Buffer): Value | undefined {
  const begun = performance.now()
  let value: Value | undefined
  try {
    value = parse(bytes)
  } catch (error) {
    const rule: unknown = (error as { readonly rule?: unknown }).rule
    if (!(error instanceof InvalidError) && typeof rule !== 'string') {
      throw new Error(`It ends with a fault: ${bytes.toString()}`, { cause: error })
    }
  }
  const tookMs = performance.now() - begun
  if (tookMs > slowMs) throw new Error(`It takes ${Math.round(tookMs)} ms: ${bytes.toString()}`)
  return value
}

await fuzz(
  async (seed, counts) => {
    const random = new Random(seed)
    for (let count = 0; count < perCase; count += 1) {
      read(parseManifest, damage(random, manifest))
      const bytes = damage(random, documents[count % documents.length] ?? '')
      const machine = read(parseOvf, bytes)
      const outcome = machine === undefined ? 'refused' : 'read'
      counts[outcome] = (counts[outcome] ?? 0) + 1
      if (machine === undefined) continue
      const theirs = await filesByPython(bytes)
      // Its parser refuses what has small faults, a `]]>` in a text for example.
      if (theirs === null) continue
      counts['alike'] = (counts['alike'] ?? 0) + 1
      const missing = machine.disks.find(({ file }) => file !== undefined && !theirs.includes(file))
      if (missing !== undefined) {
        throw new Error(
          `Python finds ${JSON.stringify(theirs)}, not ${JSON.stringify(missing.file)}: ${bytes.toString()}`,
        )
      }
    }
  },
  { mostMiB: 400 },
)
python.kill()
