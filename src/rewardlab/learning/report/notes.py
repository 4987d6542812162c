"""What numbers call for, in sentences: what would spoil a fit, and what would mislead whoever reads its accuracy."""

from __future__ import annotations

import math
from typing import Any

from rewardlab.learning.items import has_prompt
from rewardlab.learning.judgements import Judgements
from rewardlab.learning.report.result import DataReport, percent, told
from rewardlab.scoring.statistics import Mean

FEW_PROMPTS = 50
LOW_ALPHA = 0.4
MANY_SET_ASIDE = 0.05


def notes_on(found: DataReport, data: Judgements) -> list[str]:
    """The sentences, those about broken data first."""
    notes = [*_broken(found), *_one_class(found, data), *_shortcuts(found), *_people(found)]
    if found.prompts < FEW_PROMPTS:
        notes.append(f"there are only {found.prompts} different prompts, so a split by prompt leaves few to measure on")
    if data.items and not has_prompt(data.items[int(data.first_items()[0])]):
        notes.append(
            "the responses stand without their prompt; responses that were compared stay on one side of a split"
        )
    return notes


def _broken(found: DataReport) -> list[str]:
    notes = []
    share = found.set_aside / (found.set_aside + found.rows)
    if share > MANY_SET_ASIDE:
        notes.append(f"{percent(share)} of the rows could not be read; look at the reasons before you trust the rest")
    if found.duplicates is not None and found.duplicates.count:
        whose = "by the same person" if found.annotators else "by nobody in particular (perhaps several people)"
        how = "repeats" if found.duplicates.count == 1 else "repeat"
        notes.append(f"{told(found.duplicates.count, 'row')} {how} another {whose}; repeated rows count more in a fit")
    if found.contradictions is not None and found.contradictions.count:
        notes.append(
            f"{told(found.contradictions.count, 'comparison')} decided both ways by the same person (or by nobody in "
            "particular), which no model can fit"
        )
    if found.circles is not None and found.circles[1]:
        around, triples = found.circles[1], found.circles[0]
        notes.append(
            f"{around} of {told(triples, 'triple')} compared all round in a circle, which no single score orders; a "
            "general_preference head can"
        )
    if "of a response with itself" in found.counts:
        notes.append(
            f"{told(found.counts['of a response with itself'], 'comparison')} of a response with itself: these say nothing"
        )
    return notes


def _one_class(found: DataReport, data: Judgements) -> list[str]:
    counts = found.counts
    if found.kind == "preferences":
        if found.first_wins is not None and not (counts["for the first"] and counts["for the second"]):
            side = "first" if counts["for the first"] else "second" if counts["for the second"] else "neither"
            return [
                f"every label is for the {side}"
                if side != "neither"
                else "every row is a tie, so there is nothing to learn"
            ]
        if not counts["for the first"] + counts["for the second"]:
            return ["every row is a tie, so there is nothing to learn"]
    if found.kind == "ratings":
        same = [name for name, spread in found.spreads.items() if spread.count and spread.low == spread.high]
        if same:
            return [
                f"every rating of {name!r} is {found.spreads[name].low:g}, so there is nothing to learn"
                for name in same
            ]
    if found.kind == "steps":
        right, wrong = counts["steps right"], counts["steps wrong"]
        if not right or not wrong:
            return [f"every labelled step is {'right' if right else 'wrong'}, so there is nothing to learn"]
        if counts["with a wrong step"] == found.rows:
            return ["every solution has a wrong step, so the data say where errors are but not whether there is one"]
    return []


def _shortcuts(found: DataReport) -> list[str]:
    notes = []
    if found.length is not None:
        longer = found.length.longer_wins
        wins = "is rated higher" if found.kind == "ratings" else "wins"
        if not math.isnan(longer.low) and longer.low > 0.5:
            notes.append(
                f"the longer response {wins} in {percent(longer)}; a model has to beat that to know more than length"
            )
        elif not math.isnan(longer.high) and longer.high < 0.5:
            shorter = Mean(1.0 - longer.value, 1.0 - longer.high, 1.0 - longer.low, longer.method)
            notes.append(
                f"the shorter response {wins} in {percent(shorter)}; a model has to beat that to know more than length"
            )
    first = found.first_wins
    if first is not None and not math.isnan(first.low) and not first.low <= 0.5 <= first.high:
        notes.append(
            f"the response that stands first wins in {percent(first)}; if that order was shown to people, it moved them"
        )
    return notes


def _people(found: DataReport) -> list[str]:
    notes: list[str] = []
    agreement: Any = found.agreement
    if agreement is not None and agreement.alpha.value < LOW_ALPHA:
        alike = "" if agreement.level == "interval" else f"in {percent(agreement.equal)} of their pairs of judgements, "
        notes.append(
            f"annotators agree little ({alike}alpha {agreement.alpha.value:.2f}); no model can agree with all of them more "
            "than they do with each other"
        )
    if found.annotators == 1:
        notes.append(
            "there is a single annotator, so a mixture, an ideal point or a latent user has nothing to tell apart"
        )
    elif found.annotators > 1 and agreement is None:
        notes.append("no two annotators judged the same thing, so how far they agree cannot be told")
    return notes
