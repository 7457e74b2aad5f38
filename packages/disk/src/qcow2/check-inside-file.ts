import { refuse } from './qcow2-decode-error.ts'
import type { Piece } from './run.ts'

/**
 * Every host cluster must begin inside the file. The last one may be cut by the file's end, behind which it reads
 * as zero, as in qemu; compressed data may be cut inside its last sector.
 *
 * @throws {Qcow2DecodeError}
 */
export function checkInsideFile(piece: Piece, fileBytes: number, clusterSize: number): void {
  const inside =
    piece.kind === 'compressed'
      ? piece.hostOffset < fileBytes &&
        piece.hostOffset + piece.hostLength <= Math.ceil(fileBytes / 512) * 512
      : piece.hostOffset + piece.hostLength - clusterSize < fileBytes
  if (!inside) refuse('qcow2-cluster-outside-file', 'a cluster lies outside the file', piece.hostOffset)
}
