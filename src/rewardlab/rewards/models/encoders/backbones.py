"""Loading transformers models as feature extractors, and what has to be known of their configurations."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.extras import require
from rewardlab.policies.lora import without_adapters

_WHY = "A text encoder"


def full_name(name: str | Path) -> str:
    """A name on the hub as it is, and a directory as an absolute path, so that it is found from elsewhere."""
    return str(Path(name).resolve()) if Path(name).is_dir() else str(name)


def tokenizer_of(source: str | Path | None) -> Any:
    """The tokenizer of a model.

    Raises:
        ValueError: there is no name to find it by.
        OSError: there is no such tokenizer.
    """
    transformers = require("transformers", extra="lm", why=_WHY)
    if source is None:
        raise ValueError("a model that is passed in needs its tokenizer: TextEncoder(model=..., tokenizer=...)")
    return transformers.AutoTokenizer.from_pretrained(str(source))


def from_name(name: str, classifier: bool, dtype: str | None, options: Mapping[str, Any]) -> Any:
    """A model with its weights, by name or directory.

    Args:
        name: on the hub, or a directory.
        classifier: whether the architecture's own classifier is wanted, or the bare model.
        dtype: of the weights.
        options: passed on to `from_pretrained`.

    Raises:
        OSError: there is no such model.
    """
    transformers = require("transformers", extra="lm", why=_WHY)
    kind = transformers.AutoModelForSequenceClassification if classifier else transformers.AutoModel
    more = {"num_labels": 1} if classifier else {}
    if dtype is None:
        dtype = "auto" if torch.cuda.is_available() else "float32"
    with quiet(), torch.random.fork_rng():  # layers that the checkpoint lacks are the same every time
        torch.manual_seed(0)
        return kind.from_pretrained(name, dtype=dtype, **more, **options).eval()


def saved(directory: Path, source: str | None, classifier: bool, dtype: str, options: Mapping[str, Any]) -> Any:
    """A model that was not trained itself: from the files of a saved reward model, else from where it came.

    Raises:
        FileNotFoundError: its weights were not saved along, and the directory that they came from is gone.
        OSError: there is no such model.
    """
    folder = directory / "backbone"
    if any(folder.glob("*.safetensors")):
        return from_name(str(folder), classifier, dtype, options)
    if source is None or (Path(source).is_absolute() and not Path(source).is_dir()):
        raise FileNotFoundError(
            f"the base weights of {directory} were in {source}, which is gone; put them back, or save the model "
            "again with save_base=True in its encoder, so that it holds them itself"
        )
    return from_name(source, classifier, dtype, options)


def empty(folder: Path, classifier: bool, dtype: str, options: Mapping[str, Any]) -> Any:
    """A model without weights, whose configuration was saved in a folder."""
    transformers = require("transformers", extra="lm", why=_WHY)
    from transformers.initialization import no_init_weights

    config = transformers.AutoConfig.from_pretrained(str(folder))
    kind = transformers.AutoModelForSequenceClassification if classifier else transformers.AutoModel
    if classifier:
        config.num_labels = 1
    known = {name: options[name] for name in ("attn_implementation", "trust_remote_code") if name in options}
    with no_init_weights():
        return kind.from_config(config, dtype=getattr(torch, dtype), **known).eval()


def without_language_head(model: Any, classifier: bool) -> tuple[Any, int]:
    """The part of a model that gives features, and their length.

    Args:
        model: bare, with a language-model head, or a classifier.
        classifier: whether to keep the classifier up to its last linear map, which is replaced by nothing.

    Raises:
        ValueError: the model is wrapped by peft, or a classifier without a last linear map was asked for.
    """
    if hasattr(model, "peft_config"):
        raise ValueError(
            "the model is wrapped by peft already; merge it first (model.merge_and_unload()), and pass lora= for new "
            "adapters"
        )
    if model.config.is_encoder_decoder:
        raise ValueError(
            f"{type(model).__name__} is an encoder-decoder; a text encoder takes causal models (such as Qwen) and encoder "
            "models (such as BERT)"
        )
    if classifier:
        owner, name = last_linear(model)
        size = int(getattr(owner, name).in_features)
        setattr(owner, name, nn.Identity())
        return model, size
    inner = getattr(model, model.base_model_prefix, None) if model.base_model_prefix else None
    return inner if isinstance(inner, nn.Module) else model, int(model.config.get_text_config().hidden_size)


def last_linear(model: Any) -> tuple[nn.Module, str]:
    """Where a classifier's last linear map is: the module that holds it and its name there.

    Raises:
        ValueError: it is not where classifiers of transformers have it.
    """
    for name in ("score", "classifier", "classification_head"):
        found = getattr(model, name, None)
        if isinstance(found, nn.Linear):
            return model, name
        if isinstance(found, nn.Module) and isinstance(getattr(found, "out_proj", None), nn.Linear):
            return found, "out_proj"
    raise ValueError(
        f"{type(model).__name__} has no linear map named score, classifier or classifier.out_proj, so it cannot be read as "
        'a classifier; use pool="cls", "mean" or "last"'
    )


def is_causal(config: Any) -> bool:
    """Whether tokens see only those before them."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    text = config.get_text_config()
    if getattr(text, "use_bidirectional_attention", False):
        return False
    return text.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or bool(getattr(text, "is_decoder", False))


def reads(model: Any, name: str) -> bool:
    """Whether the model's forward pass takes an argument of that name."""
    return name in inspect.signature(model.forward).parameters


def counts_positions_itself(model: Any) -> bool:
    """Whether positions begin behind those of padding, as in RoBERTa, and come from the ids."""
    return any(hasattr(part, "create_position_ids_from_input_ids") for part in model.modules())


def most_tokens(model: Any, tokenizer: Any) -> int | None:
    """The most tokens that model and tokenizer allow; None where neither names a limit."""
    config = model.config.get_text_config()
    found = []
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            beyond = (config.pad_token_id or 0) + 1 if counts_positions_itself(model) else 0
            found.append(value - beyond)
            break
    length = getattr(tokenizer, "model_max_length", None)
    if isinstance(length, int) and 0 < length < 10_000_000:
        found.append(length)
    return min(found) if found else None


def dtype_name(model: nn.Module) -> str:
    """Such as `float32`."""
    kind = next((weight.dtype for weight in model.parameters() if weight.is_floating_point()), torch.float32)
    return str(kind).removeprefix("torch.")


def base_of(model: Any) -> Any:
    """The transformers model inside adapters."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer and its chat template."""
    tokenizer.save_pretrained(str(folder))


def save_backbone(model: Any, folder: Path, *, weights: bool) -> None:
    """Write the configuration of a model, and its base weights where they are wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.safetensors*"):
        old.unlink()
    base = base_of(model)
    if weights:
        state = {name: value.contiguous() for name, value in without_adapters(base.state_dict()).items()}
        with quiet():
            base.save_pretrained(str(folder), state_dict=state)
    else:
        base.config.save_pretrained(str(folder))
        written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "model_type" not in written:
            raise ValueError(
                f"the configuration of {type(base).__name__} names no model_type, so it cannot be loaded again"
            )


def trained(model: Any, *, frozen: bool, adapters: bool) -> dict[str, Tensor]:
    """The weights of a model that were trained: none of a frozen one, the adapters where there are some, else all."""
    if frozen:
        return {}
    state = model.state_dict()
    return {name: value for name, value in state.items() if not adapters or _is_adapter(name)}


def load_trained(model: Any, expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Give a model the weights that `trained` took from its like.

    Raises:
        RuntimeError: a weight is missing, unknown, or does not fit.
    """
    missing, unknown = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    if missing or unknown:
        raise RuntimeError(f"the weights do not fit the encoder: missing {missing[:3]}, unknown {unknown[:3]}")
    model.load_state_dict(dict(weights), strict=False)


def _is_adapter(name: str) -> bool:
    return ".lora_" in name or ".modules_to_save." in name


def merged_weights(model: Any) -> dict[str, Tensor]:
    """The weights of a model under its own names, with adapters worked into them; the model is left as it is."""
    if not hasattr(model, "peft_config"):
        return dict(model.state_dict())
    import copy

    return dict(copy.deepcopy(model).merge_and_unload().state_dict())


class quiet:  # noqa: N801  # reads as what it does: with quiet(): ...
    """Keep transformers from drawing progress bars for every small file."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self.shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging

        if self.shown:
            logging.enable_progress_bar()
