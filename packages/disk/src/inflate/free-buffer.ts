/**
 * Frees what was copied. Left to the collector, some 64 MiB of inflated clusters pile up in each thread. Only a
 * buffer that was made for one call alone is touched, which its size tells: no pool is of that size.
 *
 * @param bytes what the call was to allocate
 */
export function freeBuffer({ buffer }: Uint8Array, bytes: number): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes) buffer.transfer(0)
}
