import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { FileReader, run } from './support.ts'

const qemuNames: Readonly<Record<string, string>> = { vhd: 'vpc', iso: 'raw' }

/**
 * Opens bytes that were called safe with qemu-img under strace.
 *
 * @returns what is wrong: qemu-img says another size, or opens another file of the image's choosing
 */
export async function checkSoundness(
  directory: string,
  bytes: Uint8Array,
  result: InspectionResult,
): Promise<string | undefined> {
  const file = path.join(directory, 'image')
  await writeFile(file, bytes)
  return checkSoundnessOfFile(file, result)
}

/** The same for a file. Its own directory must hold nothing that qemu-img would open by itself. */
export async function checkSoundnessOfFile(
  file: string,
  { format, virtualSizeBytes = -1, details }: InspectionResult,
): Promise<string | undefined> {
  const trace = `${file}.trace`
  const traced = ['-f', '-qq', '-s', '4096', '-e', 'trace=open,openat,openat2,connect', '-o', trace]
  const command = ['qemu-img', 'info', '--output=json', '-f', qemuNames[format] ?? format, file]
  let stdout: string
  try {
    ;({ stdout } = await run('strace', [...traced, ...command]))
  } catch (error) {
    // A cipher that this qemu-img was built without opens nothing at all.
    if (/ not supported/.test(String(error)) && details.encryption === 'luks') return undefined
    return `qemu-img does not open it as ${format}: ${String(error).slice(0, 500)}`
  }
  const info = JSON.parse(stdout) as Readonly<Record<string, unknown>>
  const size = Math.ceil(virtualSizeBytes / 512) * 512
  // The disk of a VHD has its current size, and is read by our own reader: qemu-img goes by geometry or size.
  if (format !== 'vhd' && info['virtual-size'] !== size)
    return `qemu-img says ${String(info['virtual-size'])} bytes, ours ${size}`
  if (info['backing-filename'] !== undefined) return 'qemu-img sees a backing file'
  using reader = new FileReader(trace)
  const lines = new TextDecoder().decode(reader.readNow(0, reader.size)).split('\n')
  const names = lines.flatMap((line) => /"([^"]*)"/.exec(line)?.[1] ?? [])
  if (!names.includes(file)) return 'qemu-img did not open the image'
  const system = /^\/(?:etc\/(?:ld\.so|ssl|gnutls|gcrypt|nsswitch|localtime)|lib|usr|proc|sys|dev)/
  const others = names.filter((name) => name !== file && !system.test(name) && !/openssl|\.conf$/.test(name))
  if (others.length > 0) return `qemu-img opened ${others.join(', ')}`
  return lines.some((line) => line.includes('connect(')) ? 'qemu-img opened a connection' : undefined
}
