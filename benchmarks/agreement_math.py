"""Agreement of the math verifier with labels: graded GSM8K solutions, ToRA predictions, and hand-labelled LaTeX answers.

    python benchmarks/agreement_math.py --data DIR

DIR holds `gsm8k/solutions.{train,dev}.jsonl.gz` and `gsm8k/tora.{train,dev}.jsonl.gz`. Prints a markdown table with the
Wilson 95% interval, and every disagreement in full enough to judge it; `--peer` adds Math-Verify on the same pairs. No row
is left out: a failed sample counts as a disagreement.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rewardlab.functional import share_interval
from rewardlab.rewards.verifiers.math import MathAnswer
from rewardlab.types import Trajectory

LATEX = [Path(__file__).parent / "data" / f"latex_{name}.jsonl" for name in ("answers", "heldout")]


class Row(NamedTuple):
    """One graded answer: the reference, the completion, whether it is right, and the right answer's place in the data."""

    reference: str
    completion: str
    label: bool
    where: str


class Source(NamedTuple):
    """Rows of one kind, with the way in which the answer is found in them."""

    name: str
    rows: list[Row]
    extract: Any


def lines(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_bytes()
    yield from map(json.loads, (gzip.decompress(text) if path.suffix == ".gz" else text).splitlines())


def sources(data: Path) -> Iterator[Source]:
    for part in ("train", "dev"):
        file = f"gsm8k/solutions.{part}.jsonl.gz"
        graded = [
            Row(row["ground_truth"], row["solution"], row["is_correct"], f"{file}:{number}")
            for number, row in enumerate(lines(data / file), 1)
        ]
        yield Source(f"solutions.{part}: worked solutions", graded, "auto")
    for part in ("train", "dev"):
        file = f"gsm8k/tora.{part}.jsonl.gz"
        tora = list(enumerate(lines(data / file), 1))
        predictions = [Row(row["gold"], row["prediction"], row["correct"], f"{file}:{number}") for number, row in tora]
        yield Source(f"tora.{part}: predictions", predictions, "whole")
        texts = [Row(row["gold"], row["code"], row["correct"], f"{file}:{number}") for number, row in tora]
        yield Source(f"tora.{part}: whole texts", texts, "auto")
    for path in LATEX:
        latex = [
            Row(row["gold"], row["answer"], row["equal"], f"{path.name}:{number}")
            for number, row in enumerate(lines(path), 1)
        ]
        yield Source(f"{path.stem}: LaTeX answers", latex, "whole")


def ours(source: Source) -> list[tuple[bool | None, str]]:
    """A verdict and a note for each row; None where scoring failed."""
    verifier = MathAnswer(extract=source.extract)
    scores = verifier([Trajectory.from_text("q", row.completion, reference=row.reference) for row in source.rows])
    return [
        (bool(value) if scored else None, scores.note(index) or "")
        for index, (value, scored) in enumerate(zip(scores.values, scores.scored, strict=True))
    ]


def peer(source: Source) -> list[tuple[bool | None, str]]:
    """Math-Verify the way its users call it; answers alone are put between dollar signs, as its README asks."""
    from math_verify import parse, verify

    def wrapped(text: str) -> str:
        return f"${text}$" if source.extract == "whole" else text

    return [(verify(parse(wrapped(row.reference)), parse(wrapped(row.completion))), "") for row in source.rows]


Checker = Callable[[Source], Sequence[tuple[bool | None, str]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds gsm8k/")
    parser.add_argument("--peer", action="store_true", help="also score with Math-Verify")
    options = parser.parse_args()
    checkers: dict[str, Checker] = {"rewardlab": ours, **({"Math-Verify": peer} if options.peer else {})}
    print("| rows | checked by | agree | of | agreement | Wilson 95% | failed |\n|---|---|---|---|---|---|---|")
    found: list[str] = []
    for source in sources(options.data):
        for name, check in checkers.items():
            verdicts = check(source)
            wrong = [index for index, row in enumerate(source.rows) if verdicts[index][0] != row.label]
            failed = sum(verdict is None for verdict, _ in verdicts)
            count = len(source.rows)
            low, high = share_interval((count - len(wrong)) / count, count)
            print(
                f"| {source.name} | {name} | {count - len(wrong)} | {count} | {1 - len(wrong) / count:.2%} "
                f"| {low:.2%} to {high:.2%} | {failed} |"
            )
            for index in wrong:
                row = source.rows[index]
                found.append(
                    f"{name}, {row.where}: verdict {verdicts[index][0]}, label {row.label}; {verdicts[index][1]}\n"
                    f"    reference  ...{row.reference[-120:]!r}\n    completion ...{row.completion[-300:]!r}"
                )
    print(f"\n{len(found)} disagreements\n")
    print("\n".join(found))


if __name__ == "__main__":
    main()
