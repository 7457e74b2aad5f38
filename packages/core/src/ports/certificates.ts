import type { CallOptions } from '../progress.ts'
import type { RequestContext } from '../request-context.ts'

/** Finds the certificate that an image's signature names: Barbican, a folder of PEM files, your own. */
export interface CertificateSource {
  /**
   * @returns the certificate in PEM
   * @throws where there is none, or it may not be read
   */
  getCertificate(context: RequestContext, certificateId: string, options?: CallOptions): Promise<string>
}
