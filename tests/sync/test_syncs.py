"""What an operator sees of nights: what was asked, what came, what it took, and who is behind."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from charthouse.operating.cli import app
from charthouse.operating.watching import Progress, watch
from charthouse.progress import Step
from charthouse.sync.collect import collect_batch
from tests.partners.odd_server import Reply
from tests.sync.conftest import BOTH, PATIENT

if TYPE_CHECKING:
    from tests.partners.odd_server import Asked
    from tests.sync.conftest import House


def said(*arguments: str) -> Any:
    """What `charthouse syncs … --json` says."""
    done = CliRunner().invoke(app, ["syncs", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@BOTH
def test_each_type_of_a_night_is_told_with_what_it_took(house: House) -> None:
    house.provider.resources.append({"resourceType": "Goal", "id": "g", "subject": {"reference": f"Patient/{PATIENT}"}})
    house.provider.offers |= {kind: {} for kind in ("Condition", "Procedure")}
    busy = iter([Reply(503, headers={"Retry-After": "0"})])

    def behaviour(asked: Asked) -> Reply | None:
        kind = asked.path.split("/")[2]
        if kind == "Observation" and asked.one("start") is None:
            return next(busy, None)
        if kind == "Observation":
            return Reply(500)  # the second page
        return {"Condition": Reply(403), "Goal": Reply(400)}.get(kind)

    house.provider.rule(behaviour)
    house.night()
    night = said("show")
    types = {each["resource_type"]: each for each in night["types"]}
    ended = ("complete", "partial", "failed", "refused", "not_permitted")
    results = {kind: [name for name in ended if row[name]] for kind, row in types.items()}
    assert results == {
        "Patient": ["complete"],
        "Procedure": ["complete"],
        "Observation": ["partial"],
        "Condition": ["not_permitted"],
        "Goal": ["refused"],
    }
    assert [types[kind]["codes"] for kind in ("Observation", "Condition", "Goal")] == [["CH109"], ["CH103"], ["CH111"]]
    results = types["Observation"]
    assert (results["pages"], results["received"], results["new_versions"]) == (1, 2, 2)
    assert results["bytes"] > 500
    assert results["retries"] == 4, "one was too busy for the first page, and three more tries for the second"
    assert results["requests"] == 6
    assert (types["Patient"]["requests"], types["Patient"]["retries"]) == (1, 0)
    assert night["requests"] == len(house.provider.asked) - len(house.provider.searches("metadata"))

    (link,) = said("list", "--behind")
    assert (link["result"], link["last_complete"], link["nights"]) == ("partial", None, 1)
    assert link["types"] == {"Goal": "CH111", "Observation": "CH109"}, "what was not granted is not missing"
    house.provider.rules[:] = [lambda asked: Reply(400) if asked.path.endswith("/Goal") else None]
    held = house.night()
    (link,) = said("list", "--behind")
    assert (link["result"], link["types"]) == ("partial", {"Goal": "CH111"}), "one type is refused, and named"
    assert len(held["rows"]) == 3, "everything else is published"
    house.provider.rules.clear()
    house.night()
    assert said("list", "--behind") == []
    assert [(each["complete"], each["partial"]) for each in said("list")] == [(1, 0), (0, 1), (0, 1)]
    rows = said("show", "--link", link["link_id"], "--type", "Observation", "--every-night")
    assert [(each["result"], each["received"]) for each in rows] == [("complete", 3), ("complete", 3), ("partial", 2)]
    shown = house.charthouse("syncs", "show").stdout
    assert "Observation" in shown
    assert PATIENT not in shown + json.dumps([night, link, rows])


def test_who_watches_sees_each_provider_with_what_comes_a_second(house: House) -> None:
    for batch in house.plan():
        collect_batch(batch)
    drawn, piped = (Console(file=StringIO(), force_terminal=terminal, width=120) for terminal in (True, False))
    for out in (drawn, piped):
        watch(lambda: True, out)
    *_, line = [line for line in Text.from_ansi(drawn.file.getvalue()).plain.splitlines() if "clinic" in line]
    assert re.search(r"clinic +1 +1 +links +4 ", line)
    first, second, *_ = piped.file.getvalue().splitlines()
    assert first == "fetch …"
    assert re.fullmatch(r"  clinic: 1 links, 4 resources.*", second)
    half = Progress()
    for at, done, resources in ((0.0, 0, 0), (10.0, 1, 500)):
        half.add(Step("fetch", done, 4, "links", "clinic", resources), at)
    assert (half.providers["clinic"].per_second(10.0), half.providers["clinic"].seconds_left(10.0)) == (50.0, 30.0)
