/** How servers are recognised, and how this client shows itself, on https. */
export interface TlsOptions {
  /** Certificates to trust, PEM, instead of Node's own. */
  readonly ca?: string | undefined
  /** The client's certificate and key, PEM. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** Accept any certificate. @default false */
  readonly insecure?: boolean | undefined
}

/** As Node's TLS takes them. */
export function nodeTlsOptions(tls: TlsOptions | undefined): {
  ca?: string
  cert?: string
  key?: string
  rejectUnauthorized: boolean
} {
  return {
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls?.insecure !== true,
  }
}
