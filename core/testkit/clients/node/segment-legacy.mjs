// Segment's first Node library: still in many services.
import { calls, fail, host, load, messageId, report, writeKey } from './driver.mjs'

const client = 'analytics-node'
const Analytics = load(client)
const analytics = new Analytics(writeKey, { host, flushAt: 20, flushInterval: 0, errorHandler: fail })

const sent = []
for (const [index, call] of calls.entries()) {
  const { type, timestamp, ...members } = call
  const id = messageId(index)
  analytics[type]({ ...members, timestamp: new Date(timestamp), messageId: id })
  sent.push({ ...call, messageId: id })
}
await analytics.flush()
report(client, sent)
