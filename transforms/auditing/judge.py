"""Great Expectations, run on one frame: which rules broke, on which rows, and which could not be evaluated."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from transforms.auditing.suites import Rule

# COMPLETE without its values: the keys of the rows that broke a rule, and nothing of what stood in them.
ROW_KEYS = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["row_key"],
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}
# Whether a rule held, and no more: two thirds of the cost, and most rules hold.
HELD = {"result_format": "BOOLEAN_ONLY"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one rule on one frame. `error` says that it could not be evaluated; then nothing else is said."""

    rule: Rule
    held: bool
    error: bool
    row_keys: tuple[str, ...]


def judge(rules: Sequence[Rule], frame: pd.DataFrame, parameters: Mapping[str, Any]) -> list[Verdict]:
    """Run `rules` on a frame that has a `row_key` column, or only rules about its columns.

    Which rows broke a rule is asked only of row rules that did not hold.

    Args:
        parameters: values for each `{"$PARAMETER": name}` in the rules.
    """
    if not rules:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # conditions on rows are written as text, which it would rather have as objects
        batch = _batches().get_batch(batch_parameters={"dataframe": frame})
        results = _validated(batch, rules, HELD, parameters)
        broken = [
            rule
            for rule, result in results
            if rule.level == "row" and not result.success and not _raised(result.exception_info)
        ]
        if broken:
            results = [pair for pair in results if pair[0] not in broken]
            results += _validated(batch, broken, ROW_KEYS, parameters)
    return [_verdict(rule, result) for rule, result in results]


def _validated(
    batch: Any, rules: Sequence[Rule], result_format: Mapping[str, Any], parameters: Mapping[str, Any]
) -> list[tuple[Rule, Any]]:
    by_id = {rule.id: rule for rule in rules}
    suite = _great_expectations().ExpectationSuite("rules", expectations=[rule.configuration for rule in rules])
    said = batch.validate(suite, result_format=dict(result_format), expectation_parameters=dict(parameters))
    return [(by_id[result.expectation_config.meta["rule"]], result) for result in said.results]


def load() -> None:
    """Import Great Expectations and make ready what every judgement needs, so that the first need not wait for it."""
    _batches()


def _great_expectations() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    import great_expectations

    return great_expectations


@cache
def _batches() -> Any:
    gx = _great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("staged").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")


def _verdict(rule: Rule, result: Any) -> Verdict:
    if _raised(result.exception_info):
        return Verdict(rule, held=False, error=True, row_keys=())
    keys = tuple(_keys(result.result.get("unexpected_index_list") or ()))
    # A row rule that failed must name rows: one that names none would let them pass.
    nameless = rule.level == "row" and not result.success and not keys
    return Verdict(rule, held=bool(result.success), error=nameless, row_keys=keys)


def _keys(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    # Without values, the keys of all rows come as one list; with one row, in some versions, as a string.
    for entry in found:
        keys = entry["row_key"]
        yield from (key for key in ([keys] if isinstance(keys, str) else keys) if isinstance(key, str))


def _raised(information: Mapping[str, Any] | None) -> bool:
    # One flat entry, or one for each metric that failed.
    if not information:
        return False
    return bool(information.get("raised_exception")) or any(
        _raised(value) for value in information.values() if isinstance(value, dict)
    )
