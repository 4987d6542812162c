"""Low-rank adapters on language models, by peft: their settings, adding them, and the base weights under their own names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rewardlab.extras import require


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters (Hu et al. 2021), by peft.

    Args:
        rank: width of the two factors.
        alpha: the update is scaled by `alpha / rank`.
        dropout: of the adapter's input, while training.
        targets: names of the layers that get one, or `all-linear`.
        save_also: names of layers that are trained in full and saved with the adapter.
        seed: of the first values of the factors.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    save_also: tuple[str, ...] = ()
    seed: int = 0


def lora_settings(given: LoraSettings | Mapping[str, Any]) -> LoraSettings:
    """Settings out of a mapping, in which tuples may be lists.

    Raises:
        TypeError: an option is not one of `LoraSettings`.
    """
    if isinstance(given, LoraSettings):
        return given
    options: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return LoraSettings(**options)


def add_lora(model: Any, settings: LoraSettings | Mapping[str, Any], *, task: str = "CAUSAL_LM") -> Any:
    """Wrap a model with fresh adapters.

    Args:
        model: a transformers model.
        settings: of the adapters.
        task: what peft calls the model's use; `FEATURE_EXTRACTION` for one without a language-model head.

    Raises:
        MissingExtra: peft is not installed.
        TypeError: an option is not one of `LoraSettings`.
    """
    torch = require("torch", extra="lm", why="LoRA")
    peft = require("peft", extra="lm", why="LoRA")
    settings = lora_settings(settings)
    options = asdict(settings)
    targets = options["targets"]
    config = peft.LoraConfig(
        task_type=task,
        r=options["rank"],
        lora_alpha=options["alpha"],
        lora_dropout=options["dropout"],
        target_modules=targets if isinstance(targets, str) else list(targets),
        modules_to_save=list(options["save_also"]) or None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return peft.get_peft_model(model, config)


def without_adapters(state: Mapping[str, Any]) -> dict[str, Any]:
    """Weights of the base model under their own names, out of the state of a model with adapters in it."""
    kept = {}
    for name, tensor in state.items():
        if ".lora_" in name or ".modules_to_save." in name:
            continue
        kept[name.replace(".base_layer.", ".").replace(".original_module.", ".")] = tensor
    return kept
