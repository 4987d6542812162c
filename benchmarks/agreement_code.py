"""Agreement of the code verifier with executed labels: model programs for HumanEval and MBPP, graded again.

    python benchmarks/agreement_code.py --data DIR --output graded.jsonl

DIR holds `humaneval.*.jsonl.gz`, `mbpp.*.jsonl.gz` and the `*_samples.*` beside them, whose `verdict` was got by running
each program in somebody else's sandbox. Every row is graded; what cannot be (its task is not there) counts against us. The
output is written as it is made, and a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import resource
import time
from pathlib import Path
from typing import Any

from rewardlab import sandbox
from rewardlab.functional import share_interval
from rewardlab.rewards.verifiers.code import CodeTests
from rewardlab.types import Status, Trajectory

SETS = ("humaneval_samples.train", "humaneval_samples.dev", "mbpp_samples.train", "mbpp_samples.dev")


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def samples(data: Path) -> list[tuple[str, Trajectory, str]]:
    """Key, trajectory and label of every row."""
    found = []
    for name in SETS:
        source, _, split = name.partition("_samples.")
        tasks = {task["task_id"]: task for task in rows(data / f"{source}.{split}.jsonl.gz")}
        for number, row in enumerate(rows(data / f"{name}.jsonl.gz")):
            task = tasks.get(row["task_id"])
            trajectory = Trajectory.from_text("", row["completion"], reference=task)
            found.append((f"{name}:{number}:{row['task_id']}", trajectory, row["verdict"]))
    return found


def cpu_seconds() -> float:
    """Processor time of this process and of the workers that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def grade(options: argparse.Namespace) -> list[dict[str, Any]]:
    output = Path(options.output)
    done = {}
    if output.exists():
        for line in output.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["value"] is not None:  # what failed is tried again
                done[entry["key"]] = entry
    wanted = samples(Path(options.data))
    if options.every > 1:
        wanted = wanted[:: options.every]
    if options.limit:
        wanted = wanted[: options.limit]
    todo = [sample for sample in wanted if sample[0] not in done]
    reward = CodeTests(extract="whole", seconds=options.seconds, apart=not options.together, workers=options.workers)
    for start in range(0, len(todo), options.slice):
        piece = todo[start : start + options.slice]
        began = time.perf_counter()
        scores = reward([trajectory for _, trajectory, _ in piece])
        wall = time.perf_counter() - began
        with output.open("a", encoding="utf-8") as file:
            for index, (key, _, label) in enumerate(piece):
                value = None if scores.status[index] != Status.SCORED else float(scores.values[index])
                done[key] = {
                    "key": key,
                    "label": label,
                    "value": value,
                    "note": scores.note(index),
                    "wall": wall / len(piece),
                }
                file.write(json.dumps(done[key]) + "\n")
        print(f"{start + len(piece)}/{len(todo)} in {wall:.1f} s ({len(piece) / wall:.1f} programs/s)", flush=True)
    if todo:
        sandbox.shared(options.workers).close()  # ends the workers, so that their time is counted
        print(
            f"processor time of this call: {cpu_seconds() / len(todo) * 1000:.1f} ms for each of {len(todo)} programs"
        )
    return [done[key] for key, _, _ in wanted]


def borrowed(data: Path) -> tuple[set[str], int]:
    """Rows whose label is another program's.

    Two tasks may ask for a function of the same name. In the samples, the programs of one such task stand under the id of
    the other, with the same sample numbers: two different programs for one (task, sample), and one label for both. The
    later program is the one that the label was made for.

    Returns:
        The keys of the earlier programs, and in how many of these pairs both rows have the same label.
    """
    keys, equal = set(), 0
    for name in SETS:
        last: dict[tuple[Any, Any], tuple[str, dict[str, Any]]] = {}
        for number, row in enumerate(rows(data / f"{name}.jsonl.gz")):
            key = f"{name}:{number}:{row['task_id']}"
            if "sample" not in row:
                continue
            earlier = last.get((row["task_id"], row["sample"]))
            if earlier is not None:
                keys.add(earlier[0])
                equal += earlier[1]["verdict"] == row["verdict"]
            last[row["task_id"], row["sample"]] = (key, row)
    return keys, equal


def report(graded: list[dict[str, Any]], data: Path) -> None:
    others, equal = borrowed(data)
    print(f"\n{'set':28s} {'rows':>6s} {'agree':>6s} {'share':>8s}  95% interval")
    groups: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for entry in graded:
        groups[entry["key"].split(":")[0]].append(entry)
        groups["all"].append(entry)
        groups["all with another's label" if entry["key"] in others else "all with a label of its own"].append(entry)
    for name, entries in sorted(groups.items(), key=lambda pair: pair[0].startswith("all")):
        hits = sum(entry["value"] == float(entry["label"] == "passed") for entry in entries)
        low, high = share_interval(hits / len(entries), len(entries))
        print(f"{name:28s} {len(entries):6d} {hits:6d} {hits / len(entries):8.4%}  {low:.4%} to {high:.4%}")
    wall = sum(entry["wall"] for entry in graded)
    print(f"wall {wall:.0f} s, {len(graded) / wall:.1f} programs/s")
    print("\nlabels:", dict(collections.Counter(entry["label"] for entry in graded).most_common()))
    print(f"\npairs of programs under one (task, sample): {len(others)}; with the same label: {equal}")
    print("\ndisagreements (* another program's label):")
    for entry in graded:
        if entry["value"] != float(entry["label"] == "passed"):
            mark = "*" if entry["key"] in others else " "
            print(f" {mark}{entry['key']}: label {entry['label']}, value {entry['value']}, note {entry['note']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with the samples and their tasks")
    parser.add_argument("--output", required=True, help="file of graded rows; continued if it is there")
    parser.add_argument("--limit", type=int, default=0, help="grade only so many rows")
    parser.add_argument("--every", type=int, default=1, help="grade only every n-th row")
    parser.add_argument("--slice", type=int, default=400, help="rows between two writes")
    parser.add_argument("--seconds", type=float, default=10.0, help="time limit of one program")
    parser.add_argument("--workers", type=int, default=None, help="programs at once (default: cores)")
    parser.add_argument("--together", action="store_true", help="run the tests in the program's own process")
    options = parser.parse_args()
    report(grade(options), Path(options.data))


if __name__ == "__main__":
    main()
