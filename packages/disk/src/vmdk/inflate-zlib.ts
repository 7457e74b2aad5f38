/**
 * Inflates one zlib stream in a thread of Node.js, which has four of them. What follows the stream is left.
 *
 * @returns at most `mostBytes` bytes; or zlib's code where the stream is damaged, cut short or longer
 */
export function inflateZlib(input: Uint8Array, mostBytes: number): Promise<Uint8Array | string> {
  // Not imported: most images have nothing compressed.
  const { inflate } = process.getBuiltinModule('node:zlib')
  return new Promise((resolve) => {
    inflate(input, { chunkSize: mostBytes + 64, maxOutputLength: mostBytes }, (error, bytes) => {
      if (error === null) resolve(bytes)
      else resolve((error as NodeJS.ErrnoException).code ?? error.message)
    })
  })
}
