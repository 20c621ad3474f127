// Verifies webhooks with the reference library: a line of JSON {secret, headers, body} in, "ok" or the reason out.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const installed = process.env.RIALTO_TEST_CLIENTS ?? process.cwd()
const { Webhook } = createRequire(join(installed, 'package.json'))('standardwebhooks')

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line)
  try {
    new Webhook(secret).verify(body, headers)
    console.log('ok')
  } catch (problem) {
    console.log(problem.message)
  }
}
