// RudderStack's server library: gzip, under a content type that says otherwise.
import { calls, fail, host, load, messageId, report, writeKey } from './driver.mjs'

const client = '@rudderstack/rudder-sdk-node'
const loaded = load(client)
const Analytics = loaded.default ?? loaded
const analytics = new Analytics(writeKey, { dataPlaneUrl: host, flushInterval: 0, logLevel: 'error', errorHandler: fail })

const sent = []
for (const [index, call] of calls.entries()) {
  const { type, timestamp, ...members } = call
  const id = messageId(index)
  analytics[type]({ ...members, timestamp: new Date(timestamp), messageId: id })
  // It repeats the traits of an identify in the context.
  const context = type === 'identify' ? { ...call.context, traits: call.traits } : call.context
  sent.push({ ...call, context, messageId: id })
}
await analytics.flush()
report(client, sent)
