"""Verifiers beside their peers: `python benchmarks/verifiers.py SUBJECT ...`, as in `verifiers.py math --data DIR`.

Each subject is a file of its own, `verifiers_<subject>.py`, which reads its own arguments (`SUBJECT --help` lists them).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path


def main() -> None:
    known = sorted(path.stem.removeprefix("verifiers_") for path in Path(__file__).parent.glob("verifiers_*.py"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=known)
    options = parser.parse_args(sys.argv[1:2])
    sys.argv[:2] = [f"{sys.argv[0]} {options.subject}"]
    importlib.import_module(f"verifiers_{options.subject}").main()


if __name__ == "__main__":
    main()
