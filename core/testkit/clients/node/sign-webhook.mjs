// Signs webhooks with the reference library: a line of JSON {secret, id, seconds, body} in, the signature out.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const installed = process.env.RIALTO_TEST_CLIENTS ?? process.cwd()
const { Webhook } = createRequire(join(installed, 'package.json'))('standardwebhooks')

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, id, seconds, body } = JSON.parse(line)
  console.log(new Webhook(secret).sign(id, new Date(seconds * 1000), body))
}
