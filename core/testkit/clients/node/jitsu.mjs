// Jitsu's library, as a service uses it: one request a call, the key in X-Write-Key. It knows no screen or alias.
import { calls, fail, host, load, report, writeKey } from './driver.mjs'

const client = '@jitsu/js'
const { jitsuAnalytics } = load(client)

// It makes message ids and times by itself, so they are read off the request; a refused call must not go unnoticed.
let last
const fetch = async (url, options) => {
  const { messageId, timestamp } = JSON.parse(options.body)
  last = { messageId, timestamp }
  const answer = await globalThis.fetch(url, options)
  if (!answer.ok) fail(`${url} answered ${answer.status}: ${await answer.text()}`)
  return answer
}
// It takes no key without a colon, so its users append one; the hub reads a key up to the colon.
const analytics = jitsuAnalytics({ host, writeKey: `${writeKey}:rialto`, s2s: true, fetch })

const sent = []
for (const call of calls) {
  const { type, userId, anonymousId, groupId, traits, event, name, category, properties } = call
  const options = { context: structuredClone(call.context), userId, anonymousId }
  const said = { type, anonymousId, context: call.context }
  switch (type) {
    case 'identify':
      await analytics.identify(userId, traits, options)
      sent.push({ ...said, ...last, userId, traits })
      break
    case 'track':
      await analytics.track(event, properties, options)
      sent.push({ ...said, ...last, userId, event, properties })
      break
    case 'page':
      // Its page call has one bag of properties; name and category are among them.
      await analytics.page({ name, category, ...properties }, options)
      sent.push({ ...said, ...last, userId, properties: { name, category, ...properties } })
      break
    case 'group':
      await analytics.group(groupId, traits, options)
      sent.push({ ...said, ...last, groupId, traits })
      break
  }
}
report(client, sent)
