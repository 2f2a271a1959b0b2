"""A drain as a process of its own, to be killed: `python drainer.py`."""

from __future__ import annotations

import signal

from charthouse.notify.drain import drain

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that a script starts in the background ignore it
    report = drain()
    print(report.count("sent"))  # noqa: T201
