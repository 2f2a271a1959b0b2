"""A drain as a process of its own, to be killed: `python drainer.py`."""

from __future__ import annotations

from charthouse.notify.drain import drain

if __name__ == "__main__":
    report = drain()
    print(report.count("sent"))  # noqa: T201
