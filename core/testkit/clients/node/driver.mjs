// What every Node driver needs: the arguments, the calls, and the report.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

// The libraries are installed in a folder of their own, so they are resolved from there and not from this file.
const installed = process.env.RIALTO_TEST_CLIENTS ?? process.cwd()
const requireInstalled = createRequire(join(installed, 'package.json'))

export const [host, writeKey, run] = process.argv.slice(2)
if (!host || !writeKey || !run) {
  console.error('usage: <driver> <host> <write key> <run>')
  process.exit(2)
}
if (!['127.0.0.1', 'localhost', '[::1]'].includes(new URL(host).hostname)) {
  console.error(`refusing to drive a client against ${host}: only loopback is allowed`)
  process.exit(2)
}

export const calls = JSON.parse(readFileSync(new URL('../calls.json', import.meta.url), 'utf8'))

// The library's CommonJS build; every one of them ships it, and it is what most services load.
export const load = name => requireInstalled(name)

export function version(name) {
  const manifest = join(installed, 'node_modules', name, 'package.json')
  return JSON.parse(readFileSync(manifest, 'utf8')).version
}

// A message id that is the same whenever the same call of the same run is described.
export const messageId = index => `${run}-${index}`

// The UUID that a client wants instead, equally stable.
export function uuid(index) {
  const hex = Buffer.from(`${run}-${index}-0123456789abcdef`).toString('hex').slice(0, 32)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

export function report(client, sent) {
  process.stdout.write(JSON.stringify({ client, version: version(client), sent }) + '\n')
}

// A client that loses its events must not pass for one that sent them.
export function fail(problem) {
  console.error(problem)
  process.exit(1)
}
