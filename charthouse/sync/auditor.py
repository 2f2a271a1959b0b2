"""The process that audits: started while something else is waited for, asked by the audit's task, gone with the night.

Great Expectations takes seconds to load. Whoever runs a whole night in one go (`charthouse nightly`) starts the process
first of all and hands it to the process that runs the DAG: two pipes, whose numbers stand in `CHARTHOUSE_AUDITOR`. A
task that finds none, or one that does not answer, starts its own. The process ends when nobody is left who could ask
it, since its standard input then ends: however they were killed, no process is left over.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import orjson

from charthouse.errors import AuditError
from charthouse.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HANDED_OVER = "CHARTHOUSE_AUDITOR"

log = get_logger(__name__)


class SilentError(Exception):
    """The process is gone, or did not answer what it was asked."""


@dataclass(frozen=True, slots=True)
class Auditor:
    """Two pipes to a process of `transforms.auditing.service`."""

    questions: IO[bytes]
    answers: IO[bytes]

    @property
    def handed_over(self) -> tuple[tuple[int, int], dict[str, str]]:
        """What a child process needs to ask it: the files that it inherits, and its environment."""
        pipes = (self.questions.fileno(), self.answers.fileno())
        return pipes, {HANDED_OVER: ",".join(map(str, pipes))}

    def ask(self, rows: Path, broken: Path) -> list[dict[str, Any]]:
        """Each table's `TableAudit`, as plain data.

        Raises:
            SilentError: there is no answer.
            AuditError: CH403 when the audit broke; where it did is in the process's log.
        """
        try:
            self.questions.write(orjson.dumps({"rows": str(rows), "broken": str(broken)}) + b"\n")
            self.questions.flush()
            answer = self.answers.readline()
        except OSError as error:
            raise SilentError from error
        if not answer.endswith(b"\n"):
            raise SilentError
        said = orjson.loads(answer)
        if "fault" in said:
            raise AuditError("CH403", where="transforms.auditing", what=said["fault"])
        audits: list[dict[str, Any]] = said["audits"]
        return audits

    def close(self) -> None:
        """Let go of it. With the last one that holds it, it ends."""
        with suppress(OSError):  # what it has not read goes nowhere
            self.questions.close()
        self.answers.close()


@contextmanager
def started(noise: IO[bytes] | None = None) -> Iterator[Auditor]:
    """A process of our own, which is ready when its first answer is. It is gone after the block.

    Args:
        noise: where its complaints go; by default where ours go.
    """
    heard, questions = os.pipe()
    answers, said = os.pipe()
    auditor = Auditor(os.fdopen(questions, "wb"), os.fdopen(answers, "rb"))
    with os.fdopen(heard) as stdin, os.fdopen(said) as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "transforms.auditing.service"],
            stdin=stdin,
            stdout=stdout,
            stderr=noise,
            start_new_session=True,  # a Ctrl-C at the terminal is not for it: its input ends
        )
    try:
        yield auditor
    finally:
        auditor.close()
        process.kill()  # it has answered, or nobody wants its answer: there is nothing that it could leave half done
        process.wait()


def audit(rows: Path, broken: Path) -> list[dict[str, Any]]:
    """Audit the staged rows by the process that was handed over to us, or by one of our own.

    Raises:
        AuditError: CH403 when the audit broke, or its process ended.
    """
    warm = _inherited()
    if warm is not None:
        try:
            return warm.ask(rows, broken)
        except SilentError:
            log.warning("the auditor that was started with the night is gone")
        finally:
            warm.close()  # its memory is needed for what comes next
    with started() as auditor:
        try:
            return auditor.ask(rows, broken)
        except SilentError:
            raise AuditError("CH403", where="transforms.auditing", what="its process ended") from None


def _inherited() -> Auditor | None:
    """The process that was handed over, once: who has asked it lets go of it."""
    said = os.environ.pop(HANDED_OVER, "")
    try:
        questions, answers = map(int, said.split(","))
        if not all(stat.S_ISFIFO(os.fstat(number).st_mode) for number in (questions, answers)):
            return None  # a program in between closed what it did not know
        return Auditor(os.fdopen(questions, "wb"), os.fdopen(answers, "rb"))
    except (ValueError, OSError):
        return None
