import type { Environment } from './read-file.ts'
import type { Mapping } from './config-yaml.ts'

/** Variables that choose a cloud or a file instead of describing a cloud. */
const choosing =
  /^OS_(?:CLOUD|CLOUD_NAME|REGION_NAME|INTERFACE|ENDPOINT_TYPE|CLIENT_(?:CONFIG|SECURE|VENDOR)_FILE|(?:TEST|STD|LOG).*)$/

/** Variables of which one is enough to say that there is a cloud; others only add to it. */
const describing =
  /^OS_(?:AUTH_(?:URL|TYPE|PLUGIN|TOKEN)|USER(?:NAME|_NAME|_ID)|PASSWORD|PASSCODE|TOKEN|APPLICATION_CREDENTIAL_\w+|ENDPOINT|URL|PROFILE|(?:PROJECT|TENANT)_(?:ID|NAME)|\w+_ENDPOINT_OVERRIDE)$/

/** Settings that are not part of signing in. */
const topLevel =
  /^(?:auth_type|auth_plugin|cacert|cert|key|insecure|verify|api_timeout|timeout|profile|.*_api_version|.*_endpoint_override|(?:image|key_manager)_endpoint|.*_service_(?:type|name)|image_interface|.*_retries)$/

/** A cloud out of `OS_*` variables, if there are any that describe one. */
export function environmentCloud(environment: Environment): Mapping | undefined {
  const auth: Record<string, string> = {}
  const settings: Record<string, unknown> = {}
  let described = false
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith('OS_') || value === undefined || value === '' || choosing.test(variable))
      continue
    described ||= describing.test(variable)
    const name = variable.slice(3).toLowerCase()
    if (topLevel.test(name)) settings[name] = value
    else auth[name] = value
  }
  return described ? { ...settings, auth } : undefined
}

/** What variables change of an entry of clouds.yaml, as the command `openstack` has it. */
export function environmentOverrides(environment: Environment): Mapping {
  const { OS_INTERFACE: plain = '', OS_ENDPOINT_TYPE: older = '' } = environment
  const chosen = plain === '' ? older : plain
  const given = {
    interface: chosen,
    endpoint_type: chosen,
    cacert: environment['OS_CACERT'],
    cert: environment['OS_CERT'],
    key: environment['OS_KEY'],
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== ''))
}
