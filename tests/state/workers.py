"""What the tests run as processes of their own: one deed each, against the state database of the environment.

`python workers.py <deed> <gate> <arguments…>` says that it is ready by a file `<gate>.<pid>`, waits for the file
`<gate>`, does its deed, and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock

from charthouse.errors import CharthouseError, FetchError
from charthouse.linking import keys, links
from charthouse.linking.credentials import Tokens
from charthouse.linking.refresh import refresh_batch
from charthouse.state import migrate, session
from charthouse.sync import runs


@dataclass(frozen=True)
class Issued:
    """What a token endpoint issued."""

    access_token: str
    refresh_token: str | None
    expires_at: datetime | None
    scope: str | None = None
    patient: str | None = None
    refresh_expires_at: datetime | None = None


class Rotating:
    """A token endpoint that rotates: a refresh token works once, and within `grace` gives the same answer again.

    Its state is a file, so that it outlives the processes that ask it.
    """

    def __init__(self, file: Path, *, grace: bool = True, delay: float = 0.0) -> None:
        self.file = file
        self.grace = grace
        self.delay = delay
        if not file.exists():
            file.write_text(json.dumps({"turn": 0, "asked": 0}))

    def refresh_token(self) -> str:
        return f"refresh-canary-{json.loads(self.file.read_text())['turn']}"

    def asked(self) -> int:
        return int(json.loads(self.file.read_text())["asked"])

    def renew(self, refresh_token: str) -> Issued:
        with FileLock(f"{self.file}.lock"):
            state = json.loads(self.file.read_text())
            state["asked"] += 1
            if refresh_token == f"refresh-canary-{state['turn']}":
                state["turn"] += 1
            elif not (self.grace and refresh_token == f"refresh-canary-{state['turn'] - 1}"):
                self.file.write_text(json.dumps(state))
                raise FetchError("CH113", what="invalid_grant")
            self.file.write_text(json.dumps(state))
        time.sleep(self.delay)
        expires = datetime.now(UTC) + timedelta(hours=1)
        return Issued(f"access-canary-{state['turn']}", f"refresh-canary-{state['turn']}", expires)


def move(link_id: str, to: str, reason: str) -> str:
    with session() as state:
        return links.transition(state, link_id, to, reason, "sync").status  # type: ignore[arg-type]


def run(scope: str) -> str:
    with session() as state:
        return runs.open_or_resume_run(state, scope).id


def renew(link_id: str, file: str, grace: str = "grace") -> str:
    return Tokens().access_token(link_id, Rotating(Path(file), grace=grace == "grace", delay=0.2).renew)


def refresh(*link_ids: str) -> int:
    return refresh_batch(link_ids).renewed


def refresh_due(*link_ids: str) -> int:
    return refresh_batch(link_ids, only_due=True).renewed


DEEDS = {
    "move": move,
    "run": run,
    "renew": renew,
    "migrate": migrate,
    "rotate": keys.rotate,
    "refresh": refresh,
    "refresh_due": refresh_due,
}


def main() -> None:
    deed, gate, *arguments = sys.argv[1:]
    Path(f"{gate}.{os.getpid()}").touch()
    while not Path(gate).exists():
        time.sleep(0.002)
    try:
        said = {"did": DEEDS[deed](*arguments)}  # type: ignore[operator]
    except CharthouseError as error:
        said = {"refused": error.code, "what": str(error)}
    print(json.dumps(said))  # noqa: T201


if __name__ == "__main__":
    main()
