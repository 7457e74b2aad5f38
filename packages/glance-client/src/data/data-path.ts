/** The path of an image's data, with the stores to read it from. */
export function dataPath(imageId: string, preferStores: readonly string[] = []): string {
  const prefer = preferStores.map((store) => encodeURIComponent(store)).join(',')
  return `/v2/images/${encodeURIComponent(imageId)}/file${prefer === '' ? '' : `?prefer=${prefer}`}`
}
