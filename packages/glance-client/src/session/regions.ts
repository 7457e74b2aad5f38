import { InvalidError } from '@disk-image/core'
import type { Logger } from '@disk-image/core'
import { isMapping, toMapping } from './config-yaml.ts'
import type { Mapping } from './config-yaml.ts'

/** A region, and what it changes of its cloud. */
interface Region {
  readonly name: string | undefined
  readonly values: Mapping
}

/**
 * The region wanted, else the first that the entry or, where it names none, its profile has. As openstacksdk has it,
 * `regions` goes before `region_name`, which may be several with commas between.
 *
 * @throws {InvalidError} where the list is wrong or does not have the region
 */
export function chooseRegion(
  entry: Mapping,
  profile: Mapping,
  wanted: string | undefined,
  logger: Logger,
): Region {
  const own =
    [entry, profile].find(({ regions, region_name: name }) => isGiven(regions) || isGiven(name)) ?? {}
  const listed = isGiven(own['regions'])
  const regions = regionsOf(listed ? own['regions'] : own['region_name'])
  const named = typeof own['region_name'] === 'string' ? own['region_name'] : undefined
  if (listed && wanted === undefined && isGiven(named) && named !== regions[0]?.name) {
    logger.warn('The list regions goes before region_name', { used: regions[0]?.name, regionName: named })
  }
  if (wanted === undefined) return regions[0] ?? { name: undefined, values: {} }
  const found = regions.find(({ name }) => name === wanted)
  if (found !== undefined || !listed) return found ?? { name: wanted, values: {} }
  const names = regions.map(({ name }) => name).join(', ')
  throw new InvalidError({ reason: `The cloud has no region ${JSON.stringify(wanted)}; it has: ${names}` })
}

function isGiven(value: unknown): boolean {
  return (
    value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0)
  )
}

function regionsOf(value: unknown): Region[] {
  if (!isGiven(value)) return []
  const list: unknown[] = Array.isArray(value)
    ? value
    : typeof value === 'string'
      ? value.split(',')
      : [value]
  return list.map((region) => {
    if (typeof region === 'string') return { name: region, values: {} }
    if (!isMapping(region) || typeof region['name'] !== 'string') throw wrong()
    if (Object.keys(region).some((key) => key !== 'name' && key !== 'values')) throw wrong()
    return { name: region['name'], values: toMapping(region['values']) }
  })
}

function wrong(): InvalidError {
  return new InvalidError({
    reason: 'The list regions is wrong: each entry must be a name, or a mapping of name and values',
  })
}
