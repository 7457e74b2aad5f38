import type { ImageMember, RequestContext } from '@disk-image/core'

/** The fields of an image by which it is decided who may see it. */
interface ImageVisibility {
  readonly is_public?: unknown
  readonly visibility?: unknown
  readonly properties?: unknown
  readonly [field: string]: unknown
}

/**
 * Whether an image may be used on behalf of a context, where the service itself does not check that: a call that
 * carries a user's token is checked by Glance.
 *
 * @param members of a shared image; only asked for where they decide
 * @see cinder.image.glance.GlanceImageService._is_image_available
 */
export async function isImageAvailable(
  context: RequestContext,
  image: ImageVisibility,
  members: () => Promise<readonly ImageMember[]>,
): Promise<boolean> {
  const { authToken, projectId, userId, isAdmin } = context
  if (isGiven(authToken) || isAdmin === true) return true
  if (image.is_public === true || image.visibility === 'public') return true
  const properties = propertiesOf(image)
  for (const name of ['owner_id', 'project_id']) {
    if (isGiven(projectId) && Object.hasOwn(properties, name)) return isSame(properties[name], projectId)
  }
  if (image.visibility === 'shared') {
    const accepted = (await members()).some(
      (member) => member.member_id === projectId && member.status === 'accepted',
    )
    if (accepted) return true
  }
  return Object.hasOwn(properties, 'user_id') && isSame(properties['user_id'], userId)
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

/** Ids may be numbers on either side. */
function isSame(left: unknown, right: unknown): boolean {
  return isGiven(right) && String(left) === String(right)
}

/** Glance's own records are flat: properties stand beside the base fields. */
function propertiesOf(image: ImageVisibility): Record<string, unknown> {
  const { properties } = image
  return typeof properties === 'object' && properties !== null
    ? (properties as Record<string, unknown>)
    : image
}
