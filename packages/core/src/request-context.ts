/** On whose behalf a call is made. Every field may be absent: then the service's own account acts. */
export interface RequestContext {
  readonly userId?: string | undefined
  readonly projectId?: string | undefined
  /** The user's own token; it is sent to the image service and never printed. */
  readonly authToken?: string | undefined
  /** A service's token beside the user's, for long operations (`X-Service-Token`). */
  readonly serviceToken?: string | undefined
  readonly isAdmin?: boolean | undefined
  /** Sent along as `X-OpenStack-Request-ID`, so that logs of several services can be joined. */
  readonly globalRequestId?: string | undefined
}
