/** How servers are recognised, and how this client shows itself, on https. */
export interface TlsOptions {
  /** Certificates to trust, PEM, instead of Node's own; for a proxy on https beside them. */
  readonly ca?: string | undefined
  /** The client's certificate and key, PEM. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** Accept any certificate, also a proxy's. @default false */
  readonly insecure?: boolean | undefined
}

/** The same towards a proxy: it may have a certificate of a public authority, and gets none of the client's. */
export function proxyTlsOptions(tls: TlsOptions | undefined): { ca?: string[]; rejectUnauthorized: boolean } {
  const { getCACertificates } = process.getBuiltinModule('node:tls')
  return {
    ...(tls?.ca === undefined ? {} : { ca: [...getCACertificates('default'), tls.ca] }),
    rejectUnauthorized: tls?.insecure !== true,
  }
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
