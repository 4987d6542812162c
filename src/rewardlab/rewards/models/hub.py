"""Reward models as the rest of the world keeps them: sequence classifiers of transformers with one label.

Reading one gives an encoder and a scalar head that score like it. Writing one works the adapters, the head and the scale of
the values into a plain checkpoint, which transformers, TRL and vLLM load. Two things are looked after because they change
scores in silence: the padding token, which transformers skips at the end of a text even where it ends the conversation, and
the constant of a score, for which the classifiers of causal models have no room.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rewardlab.extras import require
from rewardlab.rewards.models.encoders import backbones
from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.rewards.models.heads.scalar import ScalarHead
from rewardlab.rewards.models.network import Network

FILE = "rewardlab.json"
PAD = "<|pad|>"
_PROBE = "What is 12 * 3?\n\nIt's 36, I think: caf\u00e9, na\u00efve (x_1 != y) \u4f60\u597d."


def read_classifier(name: str | Path, options: Mapping[str, Any] | None = None) -> Network:
    """A sequence classifier as a network.

    Args:
        name: on the hub, or a directory.
        options: of the `TextEncoder`.

    Raises:
        ValueError: it has not exactly one label, or its last layer is not where classifiers of transformers have it.
        OSError: there is no such model.
    """
    transformers = require("transformers", extra="lm", why="A reward model of transformers")
    given = dict(options or {})
    dtype, more = given.pop("dtype", None), dict(given.pop("options", None) or {})
    source = backbones.full_name(name)
    config = transformers.AutoConfig.from_pretrained(source, **_trust(more))
    if config.num_labels != 1:
        raise ValueError(
            f"{name} is a classifier with {config.num_labels} labels ({', '.join(map(str, config.id2label.values()))}); a "
            "reward model has one. To fit its bare model: RewardModel.make({'type': 'text', 'name': ...})"
        )
    model = backbones.from_name(source, True, dtype, more)
    owner, place = backbones.last_linear(model)
    last: Any = getattr(owner, place)
    weight, bias = last.weight.detach().float(), None if last.bias is None else last.bias.detach().float()
    if backbones.is_causal(model.config):
        given = {"pool": "last", "ignored_token": model.config.pad_token_id, **given}
        backbone = getattr(model, model.base_model_prefix)
    else:
        given = {"pool": "classifier", **given}
        backbone = model
    tokenizer = given.pop("tokenizer", None) or backbones.tokenizer_of(source)
    encoder = TextEncoder(model=backbone, tokenizer=tokenizer, options=more, **given)
    encoder.source, encoder.dtype = source, dtype
    head = ScalarHead(encoder.width, bias=bias is not None)
    with torch.no_grad():
        head.linear.weight.copy_(weight)
        if bias is not None:
            head.linear.bias.copy_(bias)
    network = Network(encoder, head)
    told = Path(source) / FILE
    if told.is_file():
        network.shift.fill_(json.loads(told.read_text(encoding="utf-8"))["subtract"])
    return network


def write_classifier(network: Network, directory: str | Path) -> Path:
    """Write a network as a sequence classifier, with its tokenizer; see `RewardModel.export`.

    Raises:
        ValueError: encoder or head have no place in a sequence classifier.
    """
    transformers = require("transformers", extra="lm", why="A reward model of transformers")
    encoder, head = network.encoder, network.head
    if not isinstance(encoder, TextEncoder) or encoder.pool not in ("last", "classifier"):
        pool = f" with pool={encoder.pool!r}" if isinstance(encoder, TextEncoder) else ""
        raise ValueError(
            f"a {encoder.kind} encoder{pool} cannot be exported: sequence classifiers read the last token of a "
            'causal model, or what the classifier of an encoder model reads (TextEncoder(..., pool="classifier"))'
        )
    if not isinstance(head, ScalarHead):
        raise ValueError(
            f"a {head.kind} head cannot be exported: a sequence classifier ends in one linear map, so only a scalar head "
            "fits; save it with model.save(directory) and serve it from here"
        )
    scale = float(network.scale)
    weight = head.linear.weight.detach().double() / scale
    bias = 0.0 if head.linear.bias is None else float(head.linear.bias.detach())
    constant = (bias - float(network.shift)) / scale
    model = _classifier(encoder, transformers)
    tokenizer = copy.deepcopy(encoder.tokenizer)
    _set_padding(model, tokenizer, encoder.reader.ignored)
    owner, place = backbones.last_linear(model)
    last: Any = getattr(owner, place)
    with torch.no_grad():
        last.weight.copy_(weight)
        if last.bias is not None:
            last.bias.fill_(constant)
            constant = 0.0
    if encoder.reader.limit is not None:
        tokenizer.model_max_length = encoder.reader.limit
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    with backbones.quiet():
        model.save_pretrained(str(target))
    tokenizer.save_pretrained(str(target))
    _check_tokenizer(tokenizer, target, transformers)
    (target / FILE).write_text(json.dumps({"subtract": -constant}, indent=2) + "\n", encoding="utf-8")
    return target


def _classifier(encoder: TextEncoder, transformers: Any) -> Any:
    """The encoder's model with a last linear map of one output, on the processor; the encoder stays as it is."""
    weights = {name: value.detach().cpu() for name, value in backbones.merged_weights(encoder.backbone).items()}
    base = backbones.base_of(encoder.backbone)
    config = copy.deepcopy(base.config)
    config.num_labels, config.problem_type = 1, None
    dtype = next(weight.dtype for weight in base.parameters() if weight.is_floating_point())
    model = transformers.AutoModelForSequenceClassification.from_config(config, dtype=dtype).eval()
    if encoder.pool == "classifier":
        owner, place = backbones.last_linear(model)
        linear = getattr(owner, place)
        setattr(owner, place, nn.Identity())
        model.load_state_dict(weights)
        setattr(owner, place, linear)
    else:
        getattr(model, model.base_model_prefix).load_state_dict(weights)
    return model


def _set_padding(model: Any, tokenizer: Any, ignored: int | None) -> None:
    """Make sure that the token which transformers skips at the end is the one that this model skips, or none at all."""
    if ignored is not None:
        tokenizer.pad_token_id = ignored
    elif tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.add_special_tokens({"pad_token": PAD})
        rows = model.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > rows:
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.pad_token_id = tokenizer.pad_token_id


def _check_tokenizer(tokenizer: Any, folder: Path, transformers: Any) -> None:
    """Warn where the tokenizer that others will find in the directory splits texts otherwise."""
    loaded = transformers.AutoTokenizer.from_pretrained(str(folder))
    if loaded(_PROBE)["input_ids"] != tokenizer(_PROBE)["input_ids"]:
        warnings.warn(
            f"transformers reads the tokenizer in {folder} as a {type(loaded).__name__}, because of the kind of model "
            "beside it, and that splits texts otherwise than the tokenizer the model was fitted with: scores will differ "
            "elsewhere. Fit with the tokenizer that belongs to the model",
            stacklevel=4,
        )


def _trust(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in ("trust_remote_code", "revision", "token") if name in options}
