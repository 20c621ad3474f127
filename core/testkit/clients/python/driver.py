"""What every Python driver needs: the arguments, the calls, and the report."""
import json
import os
import pathlib
import sys
import uuid as uuids
from datetime import datetime
from importlib import metadata
from urllib.parse import urlsplit

# The libraries are installed in a folder of their own.
INSTALLED = pathlib.Path(os.environ.get("RIALTO_TEST_CLIENTS", ".")) / "python"
sys.path.insert(0, str(INSTALLED))

if len(sys.argv) != 4:
    sys.exit("usage: <driver> <host> <write key> <run>")
HOST, WRITE_KEY, RUN = sys.argv[1:4]
if urlsplit(HOST).hostname not in ("127.0.0.1", "localhost", "::1"):
    sys.exit(f"refusing to drive a client against {HOST}: only loopback is allowed")

CALLS = json.loads((pathlib.Path(__file__).parent.parent / "calls.json").read_text(encoding="utf-8"))


def moment(text):
    """A time of calls.json as the aware datetime that these libraries want."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def message_id(index):
    """The same whenever the same call of the same run is described."""
    return f"{RUN}-{index}"


def uuid(index):
    """The UUID that a client wants instead, equally stable."""
    return str(uuids.uuid5(uuids.NAMESPACE_URL, message_id(index)))


def fail(problem, _items=None):
    """A client that loses its events must not pass for one that sent them."""
    print(problem, file=sys.stderr, flush=True)
    os._exit(1)


def report(client, sent):
    """Prints what the client was asked to send, in the words of the wire format."""
    distributions = metadata.distributions(path=[str(INSTALLED)])
    version = next(d.version for d in distributions if d.metadata["Name"].replace("_", "-") == client)
    print(json.dumps({"client": client, "version": version, "sent": sent}))


def drive(client):
    """Makes every call with a client of Segment's shape and says what was sent."""
    sent = []
    for index, call in enumerate(CALLS):
        asked = {
            "user_id": call.get("userId"),
            "context": dict(call.get("context", {})),
            "integrations": call.get("integrations"),
            "timestamp": moment(call["timestamp"]),
            "message_id": message_id(index),
        }
        if call["type"] != "alias":
            asked["anonymous_id"] = call.get("anonymousId")
        for member, argument in (
            ("traits", "traits"), ("properties", "properties"), ("event", "event"), ("name", "name"),
            ("category", "category"), ("groupId", "group_id"), ("previousId", "previous_id"),
        ):
            if member in call:
                asked[argument] = call[member]
        queued, _ = getattr(client, call["type"])(**asked)
        if not queued:
            fail(f"the client refused call {index}")
        sent.append({**call, "messageId": message_id(index)})
    client.shutdown()
    return sent
