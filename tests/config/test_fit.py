"""Every wrong thing in the configuration of a fit is named with its line, its key and the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rewardlab.config import FitConfig, load_as
from rewardlab.registry import SpecError

GOOD = """\
# line 1
seed: 0
data: {sample: 40, held_out: 0.25}
encoder: {type: tiny, hidden: 16}
head: {type: two_layer, hidden: 8}
loss: {type: bradley_terry, smoothing: 0.1}
members: 2
bootstrap: true
fit:
  steps: 3
  patience: 2
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_a_good_file_is_read_and_comes_back_as_plain_values(tmp_path: Path) -> None:
    config = load_as(FitConfig, written(tmp_path, GOOD), ["fit.learning_rate=0.01", "head.hidden=4"])
    assert (config.fit.learning_rate, config.head) == (0.01, {"type": "two_layer", "hidden": 4})
    again = load_as(FitConfig, written(tmp_path, yaml.safe_dump(config.plain())))
    assert again.plain() == config.plain()


WRONG = {
    "unknown key": ("seed: 0", "sead: 0", 2, "has no key 'sead'; did you mean 'seed'?"),
    "key of another section": ("seed: 0", "epochs: 2", 2, "no key 'epochs'; did you mean 'fit.epochs'?"),
    "nested key": ("steps: 3", "stepz: 3", 10, "no key 'stepz' under 'fit'; did you mean 'steps'?"),
    "bound": ("steps: 3", "steps: 0", 10, "'fit.steps' must be at least 1, got 0"),
    "unknown encoder": ("type: tiny", "type: tinny", 4, "unknown encoder 'tinny'; did you mean 'tiny'?"),
    "option of the encoder": ("hidden: 16", "hiden: 16", 4, "'tiny' has no option 'hiden'; did you mean 'hidden'?"),
    "value of the encoder": ("hidden: 16", "hidden: wide", 4, "'hidden' must be a whole number, got 'wide'"),
    "unknown head": ("two_layer", "twolayer", 5, "unknown head 'twolayer'; did you mean 'two_layer'?"),
    "width is not given": ("hidden: 8", "width: 8", 5, "head 'two_layer' has no option 'width'"),
    "unknown loss": ("bradley_terry", "bradly_terry", 6, "unknown loss 'bradly_terry'; did you mean 'bradley_terry'?"),
    "no data": ("{sample: 40, held_out: 0.25}", "{}", 3, "data needs either 'file' or 'sample'"),
    "both": ("sample: 40", "sample: 40, file: here.jsonl", 3, "got both"),
    "no such file": ("sample: 40", "file: here.jsonl", 3, "here.jsonl"),
    "nothing held out": ("held_out: 0.25", "held_out: 0", 11, "fit.patience needs held-out judgements"),
    "one member": ("members: 2", "members: 1", 8, "bootstrap draws rows for the members of an ensemble"),
    "made-up steps": ("sample: 40", "sample: 40, kind: steps", 3, "made-up data are comparisons"),
}


@pytest.mark.parametrize(("old", "new", "line", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(SpecError) as error:
        load_as(FitConfig, path)
    assert f"config.yaml:{line}: " in str(error.value)
    assert message in str(error.value)


def test_an_override_is_named_instead_of_a_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"override 'fit.warmup=2': .*at most 1.0, got 2"):
        load_as(FitConfig, written(tmp_path, GOOD), ["fit.warmup=2"])
