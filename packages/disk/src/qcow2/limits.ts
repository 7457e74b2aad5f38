/** qemu's own bounds on tables, in bytes; they are checked before anything is read. */
export const maximumL1Bytes: number = 32 * 1024 ** 2
export const maximumRefcountTableBytes: number = 8 * 1024 ** 2
export const maximumSnapshots = 65_536
export const maximumSnapshotExtraBytes = 1024
/** Far below qemu's 64 MiB: a table of real snapshots takes about 100 bytes each. */
export const maximumSnapshotTableBytes: number = 16 * 1024 ** 2

/** Most bytes that the record of used host clusters may take: 32 TiB of file with 64 KiB clusters. */
export const maximumClusterMapBytes: number = 64 * 1024 ** 2
/** Most separate ranges of compressed data that are remembered; neighbours count as one. */
export const maximumCompressedRanges: number = 2 * 1024 ** 2
/** Runs that wait for their bytes before the next L2 table is opened. */
export const waitingRuns = 16_384
