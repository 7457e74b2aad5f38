/**
 * What Glance says about a field that its schema does not take, in a sentence: the field, the value and what is
 * taken. Glance itself quotes the whole schema. Any other text comes back as it is.
 */
export function schemaComplaint(detail: string): string {
  const [, what, rest = ''] =
    /^Provided object does not match schema '\w+': (.*?) Failed validating (.*)$/.exec(detail) ?? []
  if (what === undefined) return detail
  const field =
    /On instance\['([^']{1,255})'\]/.exec(rest)?.[1] ?? /schema\['properties'\]\['(\w+)'\]/.exec(rest)?.[1]
  if (field === undefined) return what
  const [, value, list] = /^(.*) is not one of \[(.*)\]$/.exec(what) ?? []
  if (value === undefined || list === undefined) return `${field}: ${what}.`
  const taken = [...list.matchAll(/'([^']*)'/g)].map(([, name]) => name)
  return `${field} is ${value}; it must be one of: ${taken.join(', ')}.`
}
