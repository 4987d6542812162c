"""A language-model policy on disk: as `transformers` and `peft` save, with one more file, `policy.json`.

Other programs load the directory as they load any model. Nothing is pickled. Where the policy has a value head, that stands
in a file of its own beside the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardlab.extras import require
from rewardlab.policies.lora import without_adapters

if TYPE_CHECKING:
    import torch

    from rewardlab.policies.language_model import LanguageModelPolicy

FILE = "policy.json"
_BASE = "base"


def save_policy(policy: LanguageModelPolicy, directory: Path, *, with_base: bool | None) -> None:
    """Write a policy; see `LanguageModelPolicy.save`."""
    directory.mkdir(parents=True, exist_ok=True)
    adapter = hasattr(policy.model, "peft_config")
    if with_base is None:
        with_base = policy.source is None
    with _no_progress_bars():
        policy.model.save_pretrained(directory)
        if adapter and with_base:
            base = policy.model.get_base_model()
            base.save_pretrained(directory / _BASE, state_dict=without_adapters(base.state_dict()))
    policy.tokenizer.save_pretrained(directory)
    about = {
        "format": 1,
        "tool_syntax": policy.tool_syntax,
        "template_options": policy.template.options,
        "adapter": adapter,
        "base": None if not adapter else _BASE if with_base else policy.source,
        "source": policy.source,
        "dtype": str(policy.model.dtype).removeprefix("torch."),
    }
    if policy.value_head is not None:
        policy.value_head.save(directory)
        about["value_head"] = policy.value_head.about()
    (directory / FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def load_policy(
    kind: type[LanguageModelPolicy],
    directory: Path,
    *,
    device: torch.device,
    dtype: str | torch.dtype | None,
    value_head: bool | None,
    options: dict[str, Any],
) -> LanguageModelPolicy:
    """Read a policy; see `LanguageModelPolicy.load`."""
    transformers = require("transformers", extra="lm", why="A language-model policy")
    if not (directory / FILE).is_file():
        raise FileNotFoundError(
            f"{directory} holds no saved policy ({FILE} is missing); use from_pretrained for a transformers model"
        )
    about = json.loads((directory / FILE).read_text(encoding="utf-8"))
    if about.get("format") != 1:
        raise ValueError(f"{directory / FILE} has format {about.get('format')!r}, this version reads format 1")
    head = None
    if value_head or (value_head is None and "value_head" in about):
        from rewardlab.policies.value_head import ValueHead

        head = ValueHead.restore(directory, about.get("value_head")).to(device)
    weights = directory
    if about["adapter"]:
        weights = directory / _BASE if about["base"] == _BASE else about["base"]
    with _no_progress_bars():
        model = transformers.AutoModelForCausalLM.from_pretrained(weights, dtype=dtype or about["dtype"], **options)
    model = model.to(device)
    if about["adapter"]:
        peft = require("peft", extra="lm", why="A policy with LoRA adapters")
        model = peft.PeftModel.from_pretrained(model, directory, is_trainable=True)
    policy = kind(
        model.eval(),
        transformers.AutoTokenizer.from_pretrained(directory),
        tool_syntax=about["tool_syntax"],
        template_options=about["template_options"],
        source=about["source"],
    )
    policy.value_head = head
    return policy


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar for every small file of a checkpoint."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
