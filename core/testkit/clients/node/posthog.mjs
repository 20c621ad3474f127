// PostHog's server library: its own format, taken by an adapter; `sent` is what the adapter has to make of it.
import { calls, fail, host, load, report, uuid, writeKey } from './driver.mjs'

const client = 'posthog-node'
const { PostHog } = load(client)
const posthog = new PostHog(writeKey, { host, flushAt: 100, flushInterval: 60_000, fetchRetryCount: 1 })
posthog.on('error', problem => fail(problem))

const sent = calls.map((call, index) => {
  const { type, userId, groupId, previousId, traits, event, name, properties } = call
  const moment = { timestamp: new Date(call.timestamp), uuid: uuid(index) }
  const said = { type, userId }
  const stamped = { ...said, timestamp: call.timestamp, messageId: uuid(index) }
  switch (type) {
    case 'identify':
      posthog.identify({ distinctId: userId, properties: traits })
      return { ...said, traits }
    case 'track':
      posthog.capture({ distinctId: userId, event, properties, ...moment })
      return { ...stamped, event, properties }
    case 'page': {
      const all = { $current_url: properties.url, ...properties }
      posthog.capture({ distinctId: userId, event: '$pageview', properties: all, ...moment })
      return { ...stamped, properties: all }
    }
    case 'screen': {
      const all = { $screen_name: name, ...properties }
      posthog.capture({ distinctId: userId, event: '$screen', properties: all, ...moment })
      return { ...stamped, name, properties: all }
    }
    case 'group':
      posthog.groupIdentify({ groupType: 'company', groupKey: groupId, properties: traits, distinctId: userId })
      return { ...said, groupId, traits }
    case 'alias':
      posthog.alias({ distinctId: userId, alias: previousId })
      return { ...said, previousId }
  }
})
await posthog.shutdown(10_000)
report(client, sent)
