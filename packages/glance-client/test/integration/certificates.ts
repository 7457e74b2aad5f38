import path from 'node:path'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'

const run = promisify(execFile)

/** Makes an authority: `NAME.pem` and `NAME.key`. */
export async function makeAuthority(directory: string, name: string): Promise<void> {
  const file = path.join(directory, name)
  await openssl('req', '-x509', ...newKey(file), '-out', `${file}.pem`, '-subj', `/CN=${name}`, '-days', '2')
}

/** Makes a certificate that an authority has issued: `NAME.pem` and `NAME.key`. */
export async function makeCertificate(
  directory: string,
  name: string,
  authority: string,
  extensions: string,
): Promise<void> {
  const file = path.join(directory, name)
  const issuer = path.join(directory, authority)
  await writeFile(`${file}.ext`, extensions)
  await openssl('req', '-new', ...newKey(file), '-out', `${file}.csr`, '-subj', `/CN=${name}`)
  const request = ['-in', `${file}.csr`, '-out', `${file}.pem`, '-extfile', `${file}.ext`, '-days', '2']
  const signature = ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`, '-CAcreateserial']
  await openssl('x509', '-req', ...request, ...signature)
}

function newKey(file: string): string[] {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  return [...curve, '-nodes', '-keyout', `${file}.key`]
}

async function openssl(...parameters: string[]): Promise<void> {
  await run(requireTool('openssl'), parameters, { timeout: 20_000 })
}
