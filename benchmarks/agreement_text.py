"""How well the text verifiers agree with rewards that others recorded for real model output.

    python benchmarks/agreement_text.py --nemo-gym rollouts.jsonl.gz --hotpot trajectories.jsonl.gz --translations
    ratings.jsonl.gz python benchmarks/agreement_text.py --speed

The files are JSON Lines, gzipped or not: rollouts of NVIDIA's NeMo Gym (environment, request, response, reward), ReAct
trajectories on HotpotQA (steps, gold, outcome), and WMT translations (lang, target). Only rows are graded that hold
what the grade depends on; constraints that stand in a prompt in words were transcribed by hand, in `INSTRUCTIONS`
below. Every disagreement is printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewardlab.rewards.base import Reward
from rewardlab.rewards.verifiers.exact import Choice, ExactMatch, F1Match
from rewardlab.rewards.verifiers.format import Format
from rewardlab.rewards.verifiers.instructions import Instructions
from rewardlab.rewards.verifiers.instructions.languages import language_of
from rewardlab.rewards.verifiers.json_schema import MatchesSchema, ParsesAsJSON
from rewardlab.types import Trajectory

# A piece of the prompt -> the constraints that the prompt states in words.
INSTRUCTIONS: dict[str, list[Any]] = {
    "exactly 5 bullet points": [
        {"name": "paragraphs:paragraphs"},
        {"name": "count:lowercase_counting", "N": 3},
        {"name": "detectable_format:number_bullet_lists", "num_bullets": 5},
    ],
    "less than 204 words": [
        {"name": "paragraphs:paragraphs"},
        {"name": "detectable_format:title"},
        {"name": "length_constraints:number_words", "num_words": 204, "relation": "less than"},
    ],
    "should be the word relationship": [
        {"name": "keywords:forbidden_words", "forbidden_words": ["inevitable", "part"]},
        {"name": "first_word:first_word_sent", "first_word": "relationship"},
    ],
    "should be the word contest": [
        {
            "name": "length_constraints:nth_paragraph_first_word",
            "num_paragraphs": 4,
            "nth_paragraph": 3,
            "first_word": "crash",
        },
        {"name": "last_word:last_word_answer", "last_word": "contest"},
    ],
    "at least 17 sentences": [
        {"name": "detectable_content:number_placeholders", "num_placeholders": 4},
        {"name": "letters:letter_counting", "N": 3, "relation": "at least"},
        {"name": "length_constraints:number_sentences", "num_sentences": 17, "relation": "at least"},
    ],
    "keyword kaleidoscope once": [
        {
            "name": "count:keywords_multiple",
            "keyword1": "kaleidoscope",
            "keyword2": "nebula",
            "keyword3": "whisper",
            "keyword4": "labyrinth",
            "keyword5": "paradox",
        }
    ],
}

SQUAD = ("case", "punctuation", "articles", "whitespace")


@dataclass
class Tally:
    """How many rows of one kind agree."""

    what: str
    rows: int = 0
    agree: int = 0
    differ: list[str] = field(default_factory=list)

    def count(self, ours: Any, theirs: Any, detail: str) -> None:
        """Add one row: our grade, the recorded one, and what to print where they differ."""
        self.rows += 1
        if ours == theirs or (
            isinstance(ours, float) and isinstance(theirs, (int, float)) and abs(ours - float(theirs)) < 1e-6
        ):
            self.agree += 1
        else:
            self.differ.append(f"ours {ours}, recorded {theirs}: {detail}")


def read(path: Path) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def answer_of(row: dict[str, Any]) -> str:
    contents = [item["content"] for item in row["response"] if item.get("type") == "message"]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return "".join(part.get("text", "") for part in parts)


def prompt_of(row: dict[str, Any]) -> str:
    given = row["request"]["input"]
    if isinstance(given, str):
        return given
    return "\n".join(
        json.dumps(item["content"]) if isinstance(item["content"], list) else item["content"] for item in given
    )


def grade(reward: Reward, answer: str, reference: Any = None) -> float:
    scores = reward(Trajectory.from_text("(prompt)", answer, reference=reference))
    if scores.failed[0]:
        raise RuntimeError(f"{reward.label} failed: {scores.note(0)}")
    return float(scores.values[0])


def schema_in(prompt: str) -> Any:
    """The longest JSON object in a prompt; a bare table of properties becomes a schema that requires them all."""
    decoder, found = json.JSONDecoder(), []
    for start in re.finditer(r"\{", prompt):
        try:
            value, end = decoder.raw_decode(prompt, start.start())
        except ValueError:
            continue
        found.append((end - start.start(), value))
    schema = max(found, key=lambda entry: entry[0])[1]
    if "properties" in schema:
        return schema
    return {"type": "object", "properties": schema, "required": list(schema), "additionalProperties": False}


def nemo_gym(path: Path) -> list[Tally]:
    tallies: dict[str, Tally] = {}
    for row in read(path):
        environment, answer, extra, reward = row["environment"], answer_of(row), row["extra"], row["reward"]
        prompt = prompt_of(row) if row["request"].get("input") and environment in GRADED else ""

        wanted = extra.get("expected_answer")
        detail = repr(answer[-90:]) + (f", expected {wanted!r}" if wanted is not None else "")

        def count(what: str, ours: Any, theirs: Any, *, environment: str = environment, detail: str = detail) -> None:
            name = f"{environment}: {what}"
            tallies.setdefault(name, Tally(name)).count(ours, theirs, detail)

        if environment in ("instruction_following", "ifbench"):
            for piece, reference in INSTRUCTIONS.items():
                if piece in prompt:
                    count("Instructions, strict", grade(Instructions(strict=True), answer, reference), reward)
        elif environment == "structured_outputs":
            count("MatchesSchema, whole", grade(MatchesSchema(schema=schema_in(prompt)), answer), reward)
        elif environment == "string_match":
            where = "boxed" if "boxed" in prompt else "after" if "Final answer" in prompt else "last_line"
            count("ExactMatch", grade(ExactMatch(where=where), answer, extra["expected_answer"]), reward)
        elif environment in ("graphwalks", "lc_niah"):
            theirs = extra["f1"] if environment == "graphwalks" else extra["answer_score"]
            reference = " ".join(json.loads(extra["expected_answer"]))
            count("F1Match", grade(F1Match(where="after", marker="final answer:"), answer, reference), theirs)
        elif environment == "google_search":
            count("Choice, the letter", Choice().chosen(answer), extra["parsed_option"])
        elif environment == "swerl_llm_judge":
            count("Choice", grade(Choice(tag="solution"), answer, extra["expected_answer"]), reward)
        elif environment == "ragtruth":
            count("ParsesAsJSON, last", grade(ParsesAsJSON(where="last"), answer), 1.0 - extra["parse_fail"])
        elif environment == "structeval" and extra["output_type"] == "JSON":
            count("ParsesAsJSON, last", grade(ParsesAsJSON(where="last"), answer), float(extra["render_score"]))
        elif environment == "equivalence_llm_judge" and "\\boxed" in answer:
            ours = grade(ExactMatch(where="boxed"), answer, extra["expected_answer"])
            count("ExactMatch, boxed, beside a judge", ours, reward)

    return list(tallies.values())


GRADED = {"instruction_following", "ifbench", "structured_outputs", "string_match"}


def hotpot(path: Path) -> list[Tally]:
    exact = Tally("HotpotQA: ExactMatch, steps case, punctuation, articles, whitespace")
    for row in read(path):
        finish = (
            re.fullmatch(r"Finish\[(.*)\]", row["steps"][-1]["action"].strip(), re.DOTALL) if row["steps"] else None
        )
        if finish is None or row["outcome"] == "halted":
            continue
        ours = grade(ExactMatch(steps=SQUAD), finish[1], row["gold"])
        exact.count(ours, float(row["outcome"] == "correct"), f"{finish[1]!r}, gold {row['gold']!r}")
    return [exact]


def translations(path: Path) -> list[Tally]:
    tallies: dict[str, Tally] = {}
    seen: set[str] = set()
    for row in read(path):
        code, target = row["lang"][-2:], row["target"]
        if target in seen or len(target) < 40:
            continue
        seen.add(target)
        for asked in (code, "en" if code != "en" else "de"):  # the benefit of the doubt helps, then harms
            name = f"WMT: translations of 40 characters or more into {code}, asked whether they are in {asked}"
            tally = tallies.setdefault(name, Tally(name))
            tally.count(language_of(target, likely=asked) == asked, code == asked, repr(target[:90]))
    return list(tallies.values())


def speed() -> None:
    thinking = "<think>" + "First we look at the table and add the numbers. " * 20 + "</think><answer>Paris</answer>"
    letter = "The first option is wrong since it is too small.\n" * 20 + "Answer: C"
    prose = "The children were playing in the garden, and they did not want to go home. " * 20
    record = json.dumps({"items": [{"name": f"item {index}", "price": index} for index in range(20)]})
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "object"}}}}
    cases: list[tuple[str, Reward, str, Any]] = [
        ("ExactMatch, whole, equal", ExactMatch(), "Paris", "Paris"),
        ("ExactMatch, whole, normalised", ExactMatch(), "paris. ", "Paris"),
        ("ExactMatch, tag, 1,000 characters", ExactMatch(where="tag"), thinking, "Paris"),
        ("Format, two blocks, 1,000 characters", Format(), thinking, None),
        ("Format, pattern, 1,000 characters", Format(pattern="(?s)<think>.*</think><answer>.*</answer>"), thinking, None),
        ("Choice, 1,000 characters", Choice(), letter, "C"),
        ("F1Match, 5 words", F1Match(), "the city of Paris, France", "Paris, France"),
        ("ParsesAsJSON, 700 characters", ParsesAsJSON(), record, None),
        ("MatchesSchema, 700 characters", MatchesSchema(schema=schema), record, None),
        ("Instructions, 4 constraints, 1,500 characters", Instructions(), prose, [
            "all_lowercase",
            {"name": "words", "number": 100},
            {"name": "exclude", "keywords": ["house"]},
            {"name": "bullets", "number": 0},
        ]),
    ]  # fmt: skip
    print("| verifier | CPU µs per sample |\n|---|---|")
    for name, reward, answer, reference in cases:
        batch = [Trajectory.from_text("(prompt)", answer, reference=reference)] * 200
        reward(batch)
        best = float("inf")
        for _ in range(7):
            start = time.process_time()
            for _ in range(5):
                reward(batch)
            best = min(best, (time.process_time() - start) / 1000)
        print(f"| {name} | {best * 1e6:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nemo-gym", type=Path, help="rollouts of NeMo Gym")
    parser.add_argument("--hotpot", type=Path, nargs="*", default=[], help="ReAct trajectories on HotpotQA")
    parser.add_argument("--translations", type=Path, nargs="*", default=[], help="WMT ratings")
    parser.add_argument("--speed", action="store_true", help="measure CPU time instead")
    options = parser.parse_args()
    if options.speed:
        speed()
        return
    tallies = nemo_gym(options.nemo_gym) if options.nemo_gym else []
    for path in options.hotpot:
        tallies += hotpot(path)
    for path in options.translations:
        tallies += translations(path)
    if not tallies:
        parser.error("nothing to do: give --nemo-gym, --hotpot, --translations or --speed")
    print("| rows | agree | what |\n|---|---|---|")
    for tally in tallies:
        print(f"| {tally.rows} | {tally.agree} | {tally.what} |")
    for tally in tallies:
        for entry in tally.differ:
            print(f"{tally.what}: {entry}")


if __name__ == "__main__":
    main()
