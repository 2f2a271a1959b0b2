"""The outbox, measured: draining it into a local webhook against bare pooled POSTs of the same bodies.

    python -m benchmarks.notices [--notices 5000]

The receiver is a process of its own that counts ids and does as little as it can. The figure to read is the ratio; the
notices a second are this machine's. Once more with a drain that is killed half-way: how many were told, and how many
came in a second copy (with the id of the first).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THREADS = 8
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class _Counting(asyncio.Protocol):
    """Takes POSTs and counts their `webhook-id`; tells its counts to a GET."""

    seen: Counter[bytes] = Counter()  # noqa: RUF012 - one count for all connections

    def __init__(self) -> None:
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            head = self.rest[:end].lower()
            if head.startswith(b"get"):
                said = json.dumps([len(self.seen), sum(self.seen.values())]).encode()
                self.seen.clear()
                answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said)
                self.transport.write(answer)  # type: ignore[attr-defined]
                self.rest = self.rest[end + 4 :]
                continue
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self.rest) < end + 4 + length:
                return
            self.seen[head.split(b"webhook-id:")[1].split(b"\r\n")[0].strip()] += 1
            self.rest = self.rest[end + 4 + length :]
            self.transport.write(_ANSWER)  # type: ignore[attr-defined]


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Counting, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _counts(url: str) -> tuple[int, int]:
    """How many ids the receiver has seen since it was last asked, and in how many calls."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - ours
        different, all_calls = json.load(answer)
    return different, all_calls


def _fill(notices: int, batch: str) -> None:
    from charthouse.linking import people
    from charthouse.notify import outbox
    from charthouse.state import session

    with session() as state:
        keys = [people.create_person(state).person_key for _ in range(max(1, notices // 4))]
        for number in range(notices):
            outbox.tell(state, keys[number % len(keys)], "confirmed", dedupe=f"{batch}:{number}")


def _bare(url: str, notices: int) -> float:
    """Seconds of as many POSTs of a notice's size, from as many threads, over connections that stay open."""
    import urllib3

    pool = urllib3.PoolManager(maxsize=THREADS, block=True)
    body = json.dumps({"type": "notice.confirmed", "data": {"text": "x" * 420}}).encode()
    headers = {
        "content-type": "application/json",
        "user-agent": "charthouse",
        "webhook-timestamp": "1790000000",
        "webhook-signature": "v1," + "x" * 44,
    }

    def post(number: int) -> None:
        pool.request("POST", url, body=body, headers=headers | {"webhook-id": f"{number:036d}"}, retries=False)

    begun = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(post, range(notices)):
            pass
    return time.perf_counter() - begun


def measure(notices: int = 5000) -> dict[str, float]:
    """The drain against bare POSTs, and a drain killed half-way, in a home of its own."""
    receiver = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.notices", "--serve"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert receiver.stdout is not None
    url = f"http://127.0.0.1:{receiver.stdout.readline().strip()}/"
    try:
        with tempfile.TemporaryDirectory(prefix="charthouse-bench-") as folder:
            env = os.environ | {
                "CHARTHOUSE_HOME": folder,
                "CHARTHOUSE_WEBHOOK_URL": url,
                "CHARTHOUSE_CLOCK_FILE": f"{folder}/clock",
                "CHARTHOUSE_NOTICE_THREADS": str(THREADS),
            }
            command = [sys.executable, "-m", "benchmarks.notices", "--inside", url, "--notices", str(notices)]
            done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
            return dict(json.loads(done.stdout.splitlines()[-1]))
    finally:
        receiver.kill()
        receiver.wait()


def _inside(url: str, notices: int) -> dict[str, float]:
    from charthouse.linking.keys import ensure_key
    from charthouse.notify.drain import drain
    from charthouse.state import migrate

    ensure_key()
    migrate()
    _fill(50, "warm")
    drain()
    _fill(notices, "timed")
    _counts(url)
    bare = min(_bare(url, notices) for _ in range(2))
    _counts(url)
    begun = time.perf_counter()
    report = drain()
    drained = time.perf_counter() - begun
    assert report.count("sent") == notices
    assert _counts(url) == (notices, notices), "each once"

    _fill(notices, "killed")
    dead = subprocess.Popen([sys.executable, "-c", "from charthouse.notify.drain import drain; drain()"], cwd=ROOT)
    from charthouse.notify import outbox
    from charthouse.state import session

    def sent() -> int:
        with session(read_only=True) as state:
            return len(outbox.list_notices(state, status="sent", limit=10**9)) - notices - 50

    while dead.poll() is None and sent() < notices // 3:
        time.sleep(0.05)
    dead.kill()
    dead.wait()
    Path(os.environ["CHARTHOUSE_CLOCK_FILE"]).write_text("3600")  # its leases end
    drain()
    told, calls = _counts(url)
    assert told == notices, "nothing is lost"
    return {
        "notices": notices,
        "notices_per_second": round(notices / drained),
        "bare_posts_per_second": round(notices / bare),
        "drain_to_bare_posts": round(drained / bare, 2),
        "killed_told": told,
        "killed_told_twice": 0,
        "killed_copies_with_the_same_id": calls - told,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notices", type=int, default=5000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(_serve())
    elif given.inside:
        print(json.dumps(_inside(given.inside, given.notices)))
    else:
        print(json.dumps(measure(given.notices), indent=1))


if __name__ == "__main__":
    main()
