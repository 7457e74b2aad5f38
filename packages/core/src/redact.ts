const masked = '***'

/** `name=value` pairs whose value is a secret, wherever they stand in an option list. */
const secretPair =
  /\b((?:pass(?:word|phrase|wd)?|secret-?key|token|auth[-_]?token|signature|sig)=)([^,&\s]+)/gi
/** The body of an inline `secret` object; `file=` is only a name and stays readable. */
const secretObject = /(\bsecret,(?:[^\s]*,)?data=)((?:[^,\s]|,,)+)/gi
const urlUser = /(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s@]+@/gi
const urlQuery = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s?]+\?)[^\s]+/gi

/** Masks what looks like a password, a token, or a signed URL. For logs and error messages. */
export function redact(text: string): string {
  return text
    .replace(secretObject, `$1${masked}`)
    .replace(secretPair, `$1${masked}`)
    .replace(urlUser, `$1${masked}@`)
    .replace(urlQuery, `$1${masked}`)
}
