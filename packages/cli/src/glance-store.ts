import { ImageError, type Logger } from '@disk-image/core'
import type { GlanceClientOptions } from '@disk-image/image-utils/glance'
import type { Io } from './io.ts'
import type { Patience } from './patience.ts'
import type { Choice, Store } from './store.ts'
import { UsageError } from './usage-error.ts'

type GlanceChoice = Exclude<Choice, { kind: 'folder' }>

/** What a store is opened with. */
export interface Opening {
  readonly io: Pick<Io, 'environment' | 'workingDirectory'>
  readonly logger: Logger
  readonly patience: Patience
}

/** Opens a Glance, and says how it is signed in to. Nothing is sent before the first call that needs it. */
export async function openGlance(choice: GlanceChoice, session: Opening): Promise<Store> {
  const { createGlanceImageService } = await import('@disk-image/image-utils/glance')
  const { options, description, account } = await readAccess(choice, session)
  // Whoever runs the command is the account: what the service shows it may be used.
  const imageService = createGlanceImageService(
    { ...options, ...session.patience, logger: session.logger },
    { checkAvailability: false },
  )
  return {
    imageService,
    context: {},
    description,
    account,
    glance: { client: imageService.client },
    close: () => imageService.close(),
  }
}

interface Access {
  readonly options: GlanceClientOptions
  readonly description: string
  readonly account?: string | undefined
}

async function readAccess(choice: GlanceChoice, session: Opening): Promise<Access> {
  const { loadSession, loadTls, proxyFromEnvironment } = await import('@disk-image/image-utils/glance')
  const { environment, workingDirectory } = session.io
  try {
    if (choice.kind === 'endpoint') {
      const tls = await loadTls({ environment, workingDirectory })
      const options = { endpoint: choice.url, tls, proxy: proxyFromEnvironment(environment) }
      return { options, description: `the Glance at ${choice.url}` }
    }
    const loaded = await loadSession({
      environment,
      workingDirectory,
      cloud: choice.kind === 'cloud' ? choice.name : undefined,
      ...session.patience,
      logger: session.logger,
    })
    const region = loaded.region === undefined ? '' : `, region ${loaded.region}`
    return {
      options: { session: loaded.session, tls: loaded.tls, proxy: loaded.proxy },
      account: loaded.account,
      description:
        choice.kind === 'cloud'
          ? `the cloud ${loaded.cloud}${region}`
          : `the cloud of the OS_* variables${region}`,
    }
  } catch (error) {
    if (!ImageError.is(error) || error.kind !== 'invalid') throw error
    // A cloud that is not there, or lacks something, is the user's to say otherwise.
    throw new UsageError(/[.?]$/.test(error.message) ? error.message : `${error.message}.`, { cause: error })
  }
}
