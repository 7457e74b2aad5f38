import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { InspectionResult } from '@disk-image/format-policy/inspector'

/** OpenStack's own inspector: that of oslo.utils where Python finds it, else that of Debian's Glance. */
const program = `
import json, logging, sys
logging.disable(logging.CRITICAL)
try:
    from oslo_utils.imageutils import format_inspector as peer
    name = 'oslo.utils'
except ImportError:
    from glance.common import format_inspector as peer
    name = 'glance'
for line in sys.stdin:
    kind, file = line.rstrip('\\n').split(' ', 1)
    answer = {'name': name}
    try:
        inspector = peer.get_inspector(kind).from_file(file)
        verdict = inspector.safety_check()
        answer['safe'] = verdict is not False
        answer['size'] = inspector.virtual_size
    except Exception as error:
        answer['refused'] = str(error)
        answer['why'] = {key: str(value) for key, value in getattr(error, 'failures', {}).items()}
    print(json.dumps(answer), flush=True)
`

const known = new Set(['qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi'])

interface Answer {
  readonly name: string
  readonly safe?: boolean
  readonly size?: number
  readonly refused?: string
  readonly why?: Readonly<Record<string, string>>
}

/** A process of OpenStack's inspector. */
export class Peer implements Disposable {
  readonly #python: ChildProcess = spawn('/usr/bin/python3', ['-c', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  readonly #answers: AsyncIterator<string> = createInterface(this.#python.stdout!)[Symbol.asyncIterator]()

  /** @returns where ours accepts what the other one refuses, or sees another size */
  async compare(
    file: string,
    { format, virtualSizeBytes, details }: InspectionResult,
  ): Promise<string | undefined> {
    if (!known.has(format)) return undefined
    this.#python.stdin?.write(`${format} ${file}\n`)
    const { value, done } = await this.#answers.next()
    if (done === true) throw new Error('The inspector of OpenStack ended: apt-get install -y python3-glance')
    const { name, safe, size, refused, why = {} } = JSON.parse(value) as Answer
    // It knows no VHD that has only the footer, and reads no descriptor beyond the length that its header gives.
    if (/^(vhd|vmdk)$/.test(format) && refused === 'File is not in requested format') return undefined
    if (details['extendedL2'] === true && 'unknown_features' in why) return undefined
    if (safe !== true) return `${name} refuses this ${format}: ${refused ?? ''} ${JSON.stringify(why)}`
    // The disk of a VHD has its current size.
    return size === virtualSizeBytes
      ? undefined
      : `${name} sees ${size} bytes in this ${format}, ours ${virtualSizeBytes}`
  }

  [Symbol.dispose](): void {
    this.#python.kill()
  }
}
