"""`read_preferences` and `read_step_labels`: any of the usual sources and layouts in, judgements in columns out.

Rows are read one after the other; what stays in memory is each response once and a few numbers for each judgement.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Literal

from rewardlab.learning.data import PreferenceData, RankingData, RatingData, StepLabelData
from rewardlab.learning.reading.building import Builder
from rewardlab.learning.reading.groups import RankingBuilder, RatingBuilder
from rewardlab.learning.reading.layouts import Layout, layout_of
from rewardlab.learning.reading.pairs import PairBuilder
from rewardlab.learning.reading.sources import SourceRow, rows_of_source
from rewardlab.learning.reading.steps import StepBuilder
from rewardlab.storage.problems import BadRow, Problems

PEEKED = 200
"""How many rows are looked at before the layout must be clear."""

BUILDERS: dict[str, type[Builder]] = {
    "pairs": PairBuilder,
    "rankings": RankingBuilder,
    "ratings": RatingBuilder,
    "steps": StepBuilder,
}
"""What takes the rows of each kind."""

Columns = Mapping[str, str | Sequence[str] | None]


def read_preferences(
    source: str | os.PathLike[str] | Iterable[Any],
    *,
    columns: Columns | None = None,
    labels: str | Mapping[Any, float] | None = None,
    split: str | None = None,
    name: str | None = None,
    limit: int | None = None,
    on_problem: Literal["collect", "raise"] = "collect",
    problems: Problems | None = None,
) -> PreferenceData | RankingData | RatingData:
    """Read preferences, rankings or ratings; the layout is recognised, and `data.layout` says what it was taken for.

    Args:
        source: a file or a folder of files (JSON Lines plain or gzip, a JSON list, Parquet), a name on the Hugging Face hub
            (`owner/name`), a `datasets.Dataset`, or an iterable of rows.
        columns: which column holds what, where that is not clear: role -> column. Of comparisons `chosen` and `rejected`,
            or `first`, `second` and `label` (a list of columns for several annotators); of rankings `responses` with `ranks`
            (lowest is best) or `order` (best first); of ratings `response` or `responses` with `ratings`. Beside them
            `prompt` (several columns are joined), `images`, `annotator`, `strength`, `weight`; None as a column says that
            there is none.
        labels: what the labels of `first` and `second` mean: `number` (1 or 2 is better, 0 a tie), `index` (0 or 1 is
            better, 2 a tie), `sign`, `words`, `probability` (that the first is better), or label -> probability.
        split: of a data set.
        name: of a data set's configuration.
        limit: how many rows to read at most; None for all.
        on_problem: "collect" sets a bad row aside and goes on; "raise" stops there.
        problems: where to collect them; without it they are in `data.problems`, and a warning reports them.

    Returns:
        The judgements. Everything else that stood in a row is its metadata, with its `line`; equal responses to one prompt
        are one item. Rows of one comparison by several annotators share their `comparison` in metadata, and pairs out of one
        row with several responses share their `ranking` and the weight of one.

    Raises:
        FileNotFoundError: there is no such file.
        UnclearLayout: the columns or labels leave more than one reading; the message names the fix.
        BadRow: `on_problem` is "raise" and a row could not be read.
        ValueError: no row could be read.
    """
    found: PreferenceData | RankingData | RatingData = _read(
        source, False, columns, labels, (split, name), limit, on_problem, problems
    )
    if problems is None:
        found.problems.warn()
    return found


def read_step_labels(
    source: str | os.PathLike[str] | Iterable[Any],
    *,
    columns: Columns | None = None,
    split: str | None = None,
    name: str | None = None,
    limit: int | None = None,
    on_problem: Literal["collect", "raise"] = "collect",
    problems: Problems | None = None,
) -> StepLabelData:
    """Read solutions whose steps are labelled; each step becomes one message of the assistant.

    Args:
        source: as for `read_preferences`.
        columns: `steps` (a list of texts) with `step_labels` (true or false, a probability, 1 or -1, "+" or "-"; null where
            nobody looked), or with `first_error` (from 0; null or -1 for none) or `first_error_number` (from 1); what
            follows the first error has no label. Beside them `prompt`, `annotator`.
        split, name, limit, on_problem, problems: as for `read_preferences`.

    Raises:
        FileNotFoundError: there is no such file.
        UnclearLayout: the columns are no layout that is known.
        BadRow: `on_problem` is "raise" and a row could not be read.
        ValueError: no row could be read.
    """
    found: StepLabelData = _read(source, True, columns, None, (split, name), limit, on_problem, problems)
    if problems is None:
        found.problems.warn()
    return found


def _read(
    source: Any,
    steps: bool,
    columns: Columns | None,
    labels: str | Mapping[Any, float] | None,
    which: tuple[str | None, str | None],
    limit: int | None,
    on_problem: str,
    problems: Problems | None,
) -> Any:
    if on_problem not in ("collect", "raise"):
        raise ValueError(f'on_problem must be "collect" or "raise", got {on_problem!r}')
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    set_aside = Problems() if problems is None else problems
    rows: Iterator[SourceRow] = islice(rows_of_source(source, split=which[0], name=which[1]), limit)
    peeked = list(islice(rows, PEEKED))
    readable = [row.cells for row in peeked if isinstance(row.cells, Mapping)]
    if not readable:
        raise ValueError(f"{_told(source)} holds no row that can be read{_first_reason(peeked)}")
    layout: Layout = layout_of(readable, columns=columns, labels=labels, steps=steps)
    builder = BUILDERS[layout.kind](layout)
    taken = 0
    for row in chain(peeked, rows):
        try:
            if isinstance(row.cells, BadRow):
                raise row.cells
            if not isinstance(row.cells, Mapping):
                raise BadRow(f"expected an object, got {row.cells!r:.60}")
            builder.add(row.cells, row.line, row.folder)
            taken += 1
        except BadRow as error:
            set_aside.add(row.source, row.line, str(error))
            if on_problem == "raise":
                raise BadRow(f"{row.source}:{row.line}: {error}") from None
    if not taken:
        raise ValueError(f"{_told(source)} was read as {layout}, and no row fits: {set_aside}")
    return builder.finish(set_aside)


def _told(source: Any) -> str:
    return str(source) if isinstance(source, (str, os.PathLike)) else f"the {type(source).__name__}"


def _first_reason(rows: list[SourceRow]) -> str:
    if not rows:
        return ": it is empty"
    first = rows[0]
    return f": line {first.line} is {first.cells if isinstance(first.cells, BadRow) else repr(first.cells)[:60]}"
