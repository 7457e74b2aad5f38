/**
 * What a service says about an error, as one plain line: from Glance's and Keystone's JSON, a proxy's HTML or text.
 */
export function errorText(body: string, secrets: readonly string[] = []): string {
  let text = fromJson(body) ?? body
  for (const secret of secrets) if (secret !== '') text = text.replaceAll(secret, '***')
  const heading = /<(title|h1)[^>]*>([^<]*)<\/\1>/i.exec(text)?.[2]
  const plain = (/<html/i.test(text) && heading !== undefined ? heading : text)
    .replace(/<br\s*\/?>/gi, ' ')
    .replace(/<[^>]{0,200}>/g, ' ')
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&#0?39;|&#x27;/g, "'")
    .replace(/&amp;/g, '&')
    // oxlint-disable-next-line no-control-regex -- nothing that a terminal would obey
    .replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, ' ')
    .trim()
  return plain.length > 500 ? `${plain.slice(0, 500)}…` : plain
}

function fromJson(body: string): string | undefined {
  if (!body.trimStart().startsWith('{')) return undefined
  try {
    const value = JSON.parse(body) as Record<string, unknown>
    const error = value['error']
    const inner = typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : value
    const text = inner['message'] ?? inner['description'] ?? inner['title']
    return typeof text === 'string' ? text : undefined
  } catch {
    return undefined
  }
}
