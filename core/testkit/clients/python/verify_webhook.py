"""Verifies webhooks with the Python library: a line of JSON {secret, headers, body} in, "ok" or the reason out."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(os.environ.get("RIALTO_TEST_CLIENTS", ".")) / "python"))

from standardwebhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    asked = json.loads(line)
    try:
        Webhook(asked["secret"]).verify(asked["body"], asked["headers"])
        print("ok")
    except WebhookVerificationError as problem:
        print(problem)
