"""How often a copied goal would count as what a person typed, at several thresholds of likeness.

python benchmarks/query_similarity.py DATA/webshop_goals/queries.train.jsonl.gz
"""

from __future__ import annotations

import argparse
import gzip
import json

import numpy as np

from rewardlab.rewards.verifiers.similarity import SIMILARITIES


def main() -> None:
    """Read the pairs of goals and queries, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("queries", help="rows {goal, queries} as JSONL, plain or gzip")
    given = parser.parse_args()
    open_text = gzip.open if given.queries.endswith(".gz") else open
    with open_text(given.queries, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    pairs = [(row["goal"], query) for row in rows for query in row["queries"]]
    print(f"{len(pairs)} pairs of {len(rows)} goals")
    for name, compare in SIMILARITIES.items():
        likeness = np.array([compare(goal, query) for goal, query in pairs])
        shares = ", ".join(
            f">= {bound:g}: {(likeness >= bound).mean():.3f}" for bound in (0.25, 0.5, 0.6, 0.75, 0.9, 1)
        )
        print(f"{name}: mean {likeness.mean():.3f}; {shares}")


if __name__ == "__main__":
    main()
