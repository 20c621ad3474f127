"""PostHog's Python library: its own format, taken by an adapter; `sent` is what the adapter has to make of it."""
from driver import CALLS, HOST, WRITE_KEY, fail, moment, report, uuid

from posthog import Posthog

posthog = Posthog(WRITE_KEY, host=HOST, on_error=fail, max_retries=1)
sent = []
for index, call in enumerate(CALLS):
    kind, user, properties, traits = call["type"], call["userId"], call.get("properties"), call.get("traits")
    asked = {"timestamp": moment(call["timestamp"]), "uuid": uuid(index)}
    said = {"type": kind, "userId": user, "timestamp": call["timestamp"], "messageId": uuid(index)}
    match kind:
        case "identify":
            posthog.set(distinct_id=user, properties=traits, **asked)
            said["traits"] = traits
        case "track":
            posthog.capture(call["event"], distinct_id=user, properties=properties, **asked)
            said |= {"event": call["event"], "properties": properties}
        case "page":
            properties = {"$current_url": properties["url"], **properties}
            posthog.capture("$pageview", distinct_id=user, properties=properties, **asked)
            said["properties"] = properties
        case "screen":
            properties = {"$screen_name": call["name"], **properties}
            posthog.capture("$screen", distinct_id=user, properties=properties, **asked)
            said |= {"name": call["name"], "properties": properties}
        case "group":
            posthog.group_identify("company", call["groupId"], properties=traits, distinct_id=user, **asked)
            said |= {"groupId": call["groupId"], "traits": traits}
        case "alias":
            # It says the older id first, the other way round than its sister for Node.
            posthog.alias(call["previousId"], user, **asked)
            said |= {"userId": call["previousId"], "previousId": user}
    sent.append(said)
posthog.shutdown()
report("posthog", sent)
