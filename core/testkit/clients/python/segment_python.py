"""Segment's Python library."""
from driver import HOST, WRITE_KEY, drive, fail, report

from segment.analytics.client import Client

report("segment-analytics-python", drive(Client(WRITE_KEY, host=HOST, on_error=fail, max_retries=2)))
