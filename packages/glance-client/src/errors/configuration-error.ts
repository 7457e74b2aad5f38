import { InvalidError } from '@disk-image/core'

/** What is wrong stands in the configuration (clouds.yaml, the environment, a session's options), not in the call. */
export class ConfigurationError extends InvalidError {
  override readonly code = 'CONFIGURATION'
}
