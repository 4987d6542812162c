"""Makes the dumps in this folder with the code of the libraries that write them; run it again to renew them.

    python tests/storage/data/make_dumps.py --verl FOLDER      # FOLDER: an unpacked wheel of verl

TRL's files come from `GRPOTrainer.log` itself, called on a trainer that was never trained, and verl's from `_write_generations`
of its trainer, taken out of its module so that ray need not be installed. The conversations are made up here.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).parent
LOOK_UP = {"type": "function", "function": {"name": "look_up", "arguments": {"city": "Oslo"}}}
CONVERT = {"type": "function", "function": {"name": "convert", "arguments": {"value": 3.5, "unit": "km"}}}


def trl_dump(name: str, prompts: list, completions: list, rewards: dict, extra: dict, advantages: list) -> None:
    from transformers import Trainer
    from trl import GRPOTrainer

    Trainer.log = lambda self, logs, start_time=None: None
    trainer = GRPOTrainer.__new__(GRPOTrainer)
    trainer.model = SimpleNamespace(training=True)
    trainer._metrics = {"train": defaultdict(list)}
    trainer.accelerator = SimpleNamespace(is_main_process=True)
    trainer.log_completions = True
    trainer.num_completions_to_print = 0
    trainer.log_unique_prompts = False
    trainer.state = SimpleNamespace(global_step=10)
    trainer.args = SimpleNamespace(report_to=[], output_dir=str(HERE / name))
    trainer._logs = {
        "images": [],
        "prompt": prompts,
        "completion": completions,
        "rewards": rewards,
        "advantages": advantages,
        "extra": extra,
    }
    (HERE / name / "completions").mkdir(parents=True, exist_ok=True)
    trainer.log({})


def verl_dump(folder: Path, module: str, name: str) -> None:
    tree = ast.parse((folder / module).read_text())
    writer = next(node for node in ast.walk(tree) if getattr(node, "name", None) == "_write_generations")
    writer.decorator_list = []
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "verl_writer.py"
        file.write_text("import json\nimport os\n\nimport numpy as np\n\n\n" + ast.unparse(writer))
        sys.path.insert(0, scratch)
        write_generations = importlib.import_module("verl_writer")._write_generations
    arguments = {
        "inputs": ["user\nWhat is 2 + 3?\nassistant\n", "user\nNenne zwei Städte.\nassistant\n"] * 2,
        "outputs": ["It is 5.", "Köln und\u2028Düsseldorf", "6", ""],
        "gts": ["5", None, "5", None],
        "scores": [1.0, float("nan"), 0.0, 0.5],
        "reward_extra_infos_dict": {
            "acc": [True, False, False, False],
            "pred": ["5", "", "6", ""],
            "format": [1.0, 0.0, 1.0, 0.0],
        },
        "dump_path": str(HERE / name),
        "global_steps": 3,
    }
    write_generations(**arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verl", type=Path)
    options = parser.parse_args()
    nan = float("nan")
    trl_dump(
        "trl_text",
        ["2 + 3 =", "2 + 3 =", "7 - 4 =", "7 - 4 ="],
        [" 5", " 6", " 3", ""],
        {"correct": [1.0, 0.0, 1.0, nan], "short": [0.5, 0.5, 0.5, 1.0]},
        {"length": [2, 2, 2, 0]},
        [0.7, -0.7, 0.0, 0.0],
    )
    question = [{"role": "system", "content": "Use the tools."}, {"role": "user", "content": "How warm is Oslo?"}]
    trl_dump(
        "trl_chat",
        [question, question],
        [
            [
                {"role": "assistant", "content": "", "tool_calls": [LOOK_UP]},
                {"role": "tool", "name": "look_up", "content": "3 degrees"},
                {"role": "assistant", "content": "3 degrees."},
            ],
            [{"role": "assistant", "content": "", "tool_calls": [CONVERT]}],
        ],
        {"success": [1.0, 0.0]},
        {},
        [0.7, -0.7],
    )
    if options.verl is not None:
        verl_dump(options.verl, "verl/trainer/ppo/ray_trainer.py", "verl")


if __name__ == "__main__":
    main()
