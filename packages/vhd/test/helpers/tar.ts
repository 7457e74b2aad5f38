import { gzipSync } from 'node:zlib'

/** One entry of an archive, as hostile as wanted. */
export interface TarEntry {
  readonly name: string
  readonly data?: Uint8Array
  /** Type flag: '0' file, '1' hard link, '2' symbolic link, '3' and '4' devices, '5' folder, '6' pipe. */
  readonly type?: string
  readonly link?: string
  readonly mode?: number
  /** What the header says, where it lies. */
  readonly size?: number | Uint8Array
  readonly prefix?: string
  readonly badChecksum?: boolean
}

/** An archive, byte by byte. */
export function tar(entries: readonly TarEntry[], end: Uint8Array = Buffer.alloc(1024)): Buffer {
  const parts: Uint8Array[] = []
  for (const entry of entries) {
    const header = Buffer.alloc(512)
    const data = entry.data ?? Buffer.alloc(0)
    header.write(entry.name, 0, 100, 'utf8')
    header.write(`${(entry.mode ?? 0o644).toString(8).padStart(7, '0')}\0`, 100)
    header.write('0001750\0', 108)
    header.write('0001750\0', 116)
    if (entry.size instanceof Uint8Array) header.set(entry.size, 124)
    else header.write(`${(entry.size ?? data.length).toString(8).padStart(11, '0')}\0`, 124)
    header.write('14000000000\0', 136)
    header.write(entry.type ?? '0', 156)
    header.write(entry.link ?? '', 157)
    header.write('ustar\u000000', 257)
    header.write(entry.prefix ?? '', 345)
    header.fill(' ', 148, 156)
    let sum = entry.badChecksum === true ? 1 : 0
    for (const byte of header) sum += byte
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    parts.push(header, data, Buffer.alloc((512 - (data.length % 512)) % 512))
  }
  return Buffer.concat([...parts, end])
}

/** An extended header's record. */
export function pax(key: string, value: string): Buffer {
  const body = ` ${key}=${value}\n`
  let length = body.length + 1
  while (String(length).length + body.length !== length) length = String(length).length + body.length
  return Buffer.from(`${length}${body}`)
}

export function targz(entries: readonly TarEntry[]): Buffer {
  return gzipSync(tar(entries), { level: 1 })
}
