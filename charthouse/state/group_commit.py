"""Group commit: what many threads hand in is written in few transactions, and each is answered once it is on disk.

A commit waits for the disk, so a transaction an item would make them queue for it. Here the items that came in while
one transaction was at the disk share the next. Nobody waits longer than two transactions take.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from charthouse.state.transactions import session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MOST: Final = 200
"""Items in one transaction."""


class GroupCommit(Generic[Item, Answer]):
    """A thread that writes. `write` is given a transaction and the items of a group, and answers each of them.

    Left as a context, it writes what was handed in and ends.
    """

    def __init__(
        self, write: Callable[[Session, Sequence[Item]], Sequence[Answer]], settings: Settings | None = None
    ) -> None:
        self._write = write
        self._settings = settings
        self._waiting: queue.SimpleQueue[tuple[Item, Future[Answer]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._thread.join()

    def commit(self, item: Item) -> Answer:
        """Hand in an item and wait until it is on disk.

        Raises:
            Exception: what the transaction of its group raised: then nothing of that group is written.
        """
        return self.submit(item).result()

    def submit(self, item: Item) -> Future[Answer]:
        """Hand in an item, and go on; the future ends as `commit` does."""
        future: Future[Answer] = Future()
        self._waiting.put((item, future))
        return future

    def _run(self) -> None:
        last = False
        while not last:
            group = [self._waiting.get()]
            while group[-1] is not None and len(group) < MOST:
                try:
                    group.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            last = group[-1] is None
            self._commit([entry for entry in group if entry is not None])

    def _commit(self, group: list[tuple[Item, Future[Answer]]]) -> None:
        if not group:
            return
        try:
            with session(self._settings) as state:
                answers = self._write(state, [item for item, _ in group])
        except BaseException as error:
            for _, future in group:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(group, answers, strict=True):
                future.set_result(answer)
