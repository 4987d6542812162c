"""Tool-call scores against the gold calls of BFCL, ToolRL and API-Bank: gold is 1.0, every single corruption is less.

    python benchmarks/agreement_tool_calls.py --data DIR

DIR holds `bfcl/tasks.{train,dev}.jsonl.gz`, `toolrl/sft.train.jsonl.gz` and `toolrl/api_bank.{train,dev}.jsonl.gz`. Prints
markdown tables and every exception; exits 1 if there is one. Nothing is left out: rows that cannot be read are counted.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rewardlab.parsing import render_tool_calls, split_thought
from rewardlab.parsing.tool_calls import openai_calls, read_calls
from rewardlab.rewards.verifiers.tag_format import TagFormat
from rewardlab.rewards.verifiers.tool_calls import ToolCallMatch
from rewardlab.types import Scores, Task, Trajectory

Gold = list[tuple[str, dict[str, Any]]]
"""True calls: names and arguments."""


class Allowed(NamedTuple):
    """What a reference lets pass: parameters that must stand, and bools of which both values are acceptable."""

    required: set[str]
    either: set[str]


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


# ---- corruptions: each yields every way to make one mistake ------------------------------------------------------------


def renamed(gold: Gold, allowed: list[Allowed]) -> Iterator[Gold]:
    for index, (name, _) in enumerate(gold):
        changed = copy.deepcopy(gold)
        changed[index] = (name + "_other", changed[index][1])
        yield changed


def parameter_missing(gold: Gold, allowed: list[Allowed]) -> Iterator[Gold]:
    for index, (_, arguments) in enumerate(gold):
        for parameter in arguments:
            if parameter in allowed[index].required:
                changed = copy.deepcopy(gold)
                del changed[index][1][parameter]
                yield changed


def value_wrong(gold: Gold, allowed: list[Allowed]) -> Iterator[Gold]:
    for index, (_, arguments) in enumerate(gold):
        for parameter, value in arguments.items():
            changed = copy.deepcopy(gold)
            changed[index][1][parameter] = wrong_value(None if parameter in allowed[index].either else value)
            yield changed


def parameter_extra(gold: Gold, allowed: list[Allowed]) -> Iterator[Gold]:
    for index in range(len(gold)):
        changed = copy.deepcopy(gold)
        changed[index][1]["not_a_parameter"] = 1
        yield changed


def call_extra(gold: Gold, allowed: list[Allowed]) -> Iterator[Gold]:
    yield [*gold, ("not_a_tool", {})]
    for call in gold:
        yield [*gold, copy.deepcopy(call)]


def call_missing(gold: Gold, allowed: list[Allowed]) -> Iterator[Gold]:
    for index in range(len(gold)):
        yield gold[:index] + gold[index + 1 :]


def wrong_value(value: Any) -> Any:
    """A value that is no spelling of the given one, and not acceptable beside it in any task here."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 7919
    return "no such value" if value is None or isinstance(value, str) else ["no such value"]


CORRUPTIONS: dict[str, Callable[[Gold, list[Allowed]], Iterator[Gold]]] = {
    "tool renamed": renamed,
    "parameter missing": parameter_missing,
    "value wrong": value_wrong,
    "parameter extra": parameter_extra,
    "call extra": call_extra,
    "call missing": call_missing,
}


# ---- BFCL --------------------------------------------------------------------------------------------------------------


def gold_of(answer: dict[str, dict[str, list[Any]]]) -> tuple[str, dict[str, Any], Allowed]:
    """The first acceptable value of each parameter; a parameter whose only value is leaving it out is left out."""
    ((name, parameters),) = answer.items()
    arguments = {}
    for parameter, options in parameters.items():
        values = [option for option in options if option != ""]
        if values or not options:
            arguments[parameter] = first(values[0]) if values else []
    required = {parameter for parameter, options in parameters.items() if "" not in options}
    either = {parameter for parameter, options in parameters.items() if True in options and False in options}
    return name, arguments, Allowed(required, either)


def plain(gold: Gold) -> list[Allowed]:
    """Of calls without alternatives everything is required."""
    return [Allowed(set(arguments), set()) for _, arguments in gold]


def first(option: Any) -> Any:
    """One value out of an acceptable one: objects hold lists of acceptable values in turn."""
    if isinstance(option, dict):
        found = {}
        for key, inner in option.items():
            values = [entry for entry in inner if entry != ""] if isinstance(inner, list) else [inner]
            if values:
                found[key] = first(values[0])
        return found
    if isinstance(option, list):
        return [first(entry) if isinstance(entry, dict) else entry for entry in option]
    return option


def trajectory(task: Task, calls: Gold) -> Trajectory:
    message: dict[str, Any] = {"role": "assistant", "content": None if calls else "I cannot help with that."}
    if calls:
        message["tool_calls"] = openai_calls(calls)
    opening = [{"role": "user", "content": "..."}]
    return Trajectory(observations=[opening, []], actions=[message], task=task)


def bfcl_tasks(data: Path) -> Iterator[tuple[str, Task, Gold, list[Allowed]]]:
    with gzip.open(data / "bfcl/multi_turn_func_doc.json.gz", "rt", encoding="utf-8") as file:
        documents = json.load(file)
    turn_tools = [tool for entry in documents.values() for tool in entry]
    for part in ("train", "dev"):
        for row in rows(data / f"bfcl/tasks.{part}.jsonl.gz"):
            category, truth = row["category"], row.get("ground_truth")
            if "irrelevance" in category:
                yield "no call due", Task(id=row["id"], reference=[], tools=row["function"]), [], []
            elif truth is None:
                yield "no ground truth, not scored", Task(id=row["id"]), [], []
            elif category.startswith("multi_turn"):
                task = Task(id=row["id"], reference=truth, tools=turn_tools)
                calls = read_all(truth, turn_tools)
                yield "multi-turn", task, calls, plain(calls)
            else:
                parts = [gold_of(answer) for answer in truth]
                task = Task(id=row["id"], reference=truth, tools=row["function"])
                kind = "live" if category.startswith("live") else "single turn"
                yield kind, task, [(name, arguments) for name, arguments, _ in parts], [entry[2] for entry in parts]


def read_all(turns: list[list[str]], tools: list[dict[str, Any]]) -> Gold:
    calls: Gold = []
    for text in (text for turn in turns for text in turn):
        read = read_calls(text, "bfcl", tools=tools)
        assert not read.errors, (text, read.errors)
        calls.extend((name, arguments) for name, arguments in read.calls)
    return calls


# ---- ToolRL and API-Bank -----------------------------------------------------------------------------------------------


def toolrl_tasks(data: Path) -> Iterator[tuple[str, Task, Gold, list[Allowed]]]:
    for index, row in enumerate(rows(data / "toolrl/sft.train.jsonl.gz")):
        read = read_calls(row["output"], "toolrl")
        assert not read.errors, (index, read.errors)
        gold = [(name, arguments) for name, arguments in read.calls]
        task = Task(id=f"toolrl-{index}", reference=row["output"])
        yield "ToolRL" if gold else "ToolRL, no call due", task, gold, plain(gold)


def api_bank_tasks(data: Path) -> Iterator[tuple[str, Task, Gold, list[Allowed]]]:
    for part in ("train", "dev"):
        for index, row in enumerate(rows(data / f"toolrl/api_bank.{part}.jsonl.gz")):
            answer = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
            gold = [(call["name"], call["parameters"]) for call in answer]
            task = Task(id=f"api-bank-{part}-{index}", reference=row["answer"])
            yield "API-Bank", task, gold, plain(gold)


# ---- the tables --------------------------------------------------------------------------------------------------------


def agreement(data: Path) -> list[str]:
    """Print how many gold answers score exactly 1 and how many corruptions score less; return the exceptions."""
    kinds = ("gold", *CORRUPTIONS)
    tried: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(kinds, 0))
    wrong: list[str] = []
    plain, leaderboard = ToolCallMatch(), ToolCallMatch(compare="bfcl")
    for source in (bfcl_tasks, toolrl_tasks, api_bank_tasks):
        for kind, task, gold, allowed in source(data):
            if kind == "no ground truth, not scored":
                tried[kind]["gold"] += 1
                continue
            reward = leaderboard if source is bfcl_tasks else plain
            samples, labels = [trajectory(task, gold)], ["gold"]
            if gold:
                for label, corrupt in CORRUPTIONS.items():
                    bad = [trajectory(task, calls) for calls in corrupt(gold, allowed)]
                    samples += bad
                    labels += [label] * len(bad)
            else:
                samples.append(trajectory(task, [("not_a_tool", {})]))
                labels.append("call extra")
            scores = reward(samples)
            for position, label in enumerate(labels):
                tried[kind][label] += 1
                value = scores.values[position]
                if not (value == 1.0 if label == "gold" else value < 1.0):
                    calls = samples[position].tool_calls
                    wrong.append(f"{task.id} {label}: {value} {scores.note(position)} {json.dumps(calls)[:200]}")
    print("\n| tasks | gold | " + " | ".join(CORRUPTIONS) + " |")
    print("|---|" + "---:|" * len(kinds))
    for kind, counts in tried.items():
        print(f"| {kind} | " + " | ".join(str(counts[label]) for label in kinds) + " |")
    print(f"\nexceptions: {len(wrong)}")
    for line in wrong:
        print(f"* {line}")
    return wrong


def syntaxes(data: Path) -> list[str]:
    """Gold answers written as text: every syntax that can hold them must score 1 as well."""
    wrong: list[str] = []
    print("\n| syntax | gold answers | exactly 1.0 | found by `auto` | cannot be written |")
    print("|---|---:|---:|---:|---:|")
    for syntax in ("hermes", "toolrl", "llama3", "bfcl"):
        counts = dict.fromkeys(("all", "right", "auto", "refused"), 0)
        rewards = [ToolCallMatch(compare="bfcl", syntax=choice) for choice in (syntax, "auto")]
        for source in (bfcl_tasks, toolrl_tasks, api_bank_tasks):
            for _, task, gold, _ in source(data):
                if not gold:
                    continue
                counts["all"] += 1
                try:
                    text = render_tool_calls(openai_calls(gold), syntax)
                except ValueError:  # a tool name with a blank in it is no Python name
                    counts["refused"] += 1
                    continue
                named, detected = (reward(text_trajectory(task, text)) for reward in rewards)
                counts["right"] += int(named.values[0] == 1.0)
                counts["auto"] += int(detected.values[0] == 1.0)
                if not named.values[0] == detected.values[0] == 1.0:
                    wrong.append(f"{task.id} as {syntax}: {named.values[0]} {named.note(0)}, {detected.note(0)}")
        print(f"| {syntax} | {counts['all']} | {counts['right']} | {counts['auto']} | {counts['refused']} |")
    for line in wrong:
        print(f"* {line}")
    return wrong


def severity(data: Path) -> None:
    """Mean score in the paper's range under one mistake, averaged over every place in a target where it can be made."""
    reward, best = ToolCallMatch.toolrl(), ToolCallMatch.toolrl(matching="optimal")
    mistakes: dict[str, Callable[[Gold, list[Allowed]], Iterator[Gold]]] = {
        "order of calls reversed": lambda gold, allowed: iter([gold[::-1]]),
        "one call repeated": lambda gold, allowed: ([*gold, call] for call in gold),
        "one parameter too many": parameter_extra,
        "one value wrong": value_wrong,
        "one parameter missing": parameter_missing,
        "one of several calls missing": lambda gold, allowed: call_missing(gold, allowed) if gold[1:] else iter([]),
        "one tool renamed": renamed,
    }
    outputs = [row["output"] for row in rows(data / "toolrl/sft.train.jsonl.gz")]
    tasks = [Task(id=str(index), reference=output) for index, output in enumerate(outputs)]
    layout = TagFormat()([text_trajectory(task, output) for task, output in zip(tasks, outputs, strict=True)])
    golds = [[(name, arguments) for name, arguments in read_calls(output, "toolrl").calls] for output in outputs]
    broken = [output for output, value in zip(outputs, layout.values, strict=True) if value != 1.0]
    thoughts = [split_thought(output)[0] for output in broken]
    quoting = sum("<tool_call>" in thought or "<response>" in thought for thought in thoughts)
    print(
        f"\n{len(outputs)} ToolRL targets: {len(outputs) - len(broken)} pass the format check; of the {len(broken)} others "
        f"{quoting} quote a tag in the thought. {sum(not gold for gold in golds)} targets have no call.\n"
    )
    print(
        "| mistake | well-formed rows | mean | all rows with calls | mean | samples | greedy is lower in | by up to |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for label, mistake in mistakes.items():
        means: list[tuple[bool, float]] = []
        gaps: list[float] = []
        for index, gold in enumerate(golds):
            samples = [as_text(tasks[index], calls) for calls in mistake(gold, plain(gold))] if gold else []
            if samples:
                greedy = reward(samples)
                means.append((bool(layout.values[index] == 1.0), greedy.mean()))
                gaps.extend(best(samples).values - greedy.values)
        clean = [mean for well_formed, mean in means if well_formed]
        everything = [mean for _, mean in means]
        print(
            f"| {label} | {len(clean)} | {fmean(clean):.2f} | {len(everything)} | {fmean(everything):.2f} | {len(gaps)} "
            f"| {sum(gap > 1e-9 for gap in gaps)} | {max(gaps):.2f} |"
        )


def text_trajectory(task: Task, text: str) -> Trajectory:
    return Trajectory(observations=[[], []], actions=[{"role": "assistant", "content": text}], task=task)


def as_text(task: Task, calls: Gold) -> Trajectory:
    return text_trajectory(task, f"<think> ... </think>\n{render_tool_calls(openai_calls(calls), 'toolrl')}")


def speed(data: Path) -> None:
    """Microseconds of CPU time a sample, best of three: eight samples for each ToolRL target with calls."""
    batch: list[Trajectory] = []
    structured: list[Trajectory] = []
    for _, task, gold, allowed in toolrl_tasks(data):
        if not gold:
            continue
        variants = [gold, gold[::-1], [*gold, gold[0]], *value_wrong(gold, allowed), *renamed(gold, allowed)]
        chosen = [variants[position % len(variants)] for position in range(8)]
        batch += [as_text(task, calls) for calls in chosen]
        structured += [trajectory(task, calls) for calls in chosen]
    print("\n| samples | calls as | matching | microseconds a sample |")
    print("|---:|---|---|---:|")
    for label, samples in (("text", batch), ("tool_calls", structured)):
        for matching in ("greedy", "optimal"):
            reward = ToolCallMatch.toolrl(matching=matching)
            times = [measure(reward, samples) for _ in range(3)]
            print(f"| {len(samples)} | {label} | {matching} | {1e6 * min(times) / len(samples):.1f} |")


def measure(reward: ToolCallMatch, samples: list[Trajectory]) -> float:
    started = time.process_time()
    scores: Scores = reward(samples)
    elapsed = time.process_time() - started
    assert scores.scored.all()
    return elapsed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with bfcl/ and toolrl/")
    data = parser.parse_args().data
    wrong = [*agreement(data), *syntaxes(data)]
    severity(data)
    speed(data)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
