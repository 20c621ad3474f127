"""RudderStack's Python library: gzip, and the traits of an identify inside the context."""
from driver import HOST, WRITE_KEY, drive, fail, report

from rudderstack.analytics.client import Client

sent = drive(Client(WRITE_KEY, host=HOST, on_error=fail, max_retries=2))
for call in sent:
    if call["type"] == "identify":
        call["context"] = {**call["context"], "traits": call.pop("traits")}
report("rudder-sdk-python", sent)
