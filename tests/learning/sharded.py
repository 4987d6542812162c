"""Fits with the weights of the encoder shared out over two processes (FSDP), beside the same fits in one process.

A script and not a test: it imports torch once and forks. Called as `python -m tests.learning.sharded FOLDER`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed.fsdp
import transformers

from rewardlab.learning import Fit, fit, fit_ensemble, member_values
from rewardlab.learning.fitting import fit_defaults
from rewardlab.policies.sharding import any_sharded, cut, is_sharded, own, whole_on_first
from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.rewards.models.model import RewardModel
from rewardlab.training.processes import Processes
from tests.learning.test_fit_text import make, pairs
from tests.rewards.models.texts import bare_model, chat_tokenizer, pair_tokenizer
from tests.training.forked import together

SHARDED = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}
CASES = ("pieces", "recomputed", "adapters", "frozen", "same_layer", "two_passes", "many")
OPTIONS: dict[str, Any] = {"steps": 2, "batch_size": 3, "max_grad_norm": 0.1}


def same_layer(rank: int) -> RewardModel:
    """An ALBERT, whose layers are one layer that is called twice."""
    tokenizer = pair_tokenizer()
    config = transformers.AlbertConfig(
        vocab_size=len(tokenizer), embedding_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout_prob=0.0,
        max_position_embeddings=256,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(rank)
        encoder = TextEncoder(model=transformers.AlbertModel(config), tokenizer=tokenizer)
    return RewardModel.make(encoder, {"type": "scalar", "seed": rank})


def two_passes(rank: int) -> RewardModel:
    """An encoder model that reads prompts once more, by themselves, for a head that looks at them."""
    model = bare_model("distilbert", seed=rank)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    encoder = TextEncoder(model=model, tokenizer=pair_tokenizer(), pool="mean")
    return RewardModel.make(encoder, {"type": "general_preference", "dim": 2, "gate": True, "seed": rank})


def fitted(case: str, rank: int) -> tuple[RewardModel, list[dict[str, Any]]]:
    """One fit; its model and the numbers of its steps. Processes start from other weights, which are not to matter."""
    options = dict(OPTIONS)
    if case == "many":
        return fit_ensemble(
            lambda seed: make(rank + seed), pairs(7), 3, share_encoder=True, bootstrap=True, **options
        ), []  # fmt: skip
    if case == "pieces":
        options["batch_length"] = 60  # the processes have different numbers of pieces
    made = {"adapters": {"lora": {"rank": 2}}, "frozen": {"frozen": True}}.get(case, {})
    model = {"same_layer": same_layer, "two_passes": two_passes}.get(case, lambda rank: make(rank, **made))(rank)
    result = fit(model, pairs(7), gradient_checkpointing=case == "recomputed", **options)
    return result.model, result.metrics


class Interrupted(Exception):
    """What stands for a kill."""


def interrupted(folder: Path) -> RewardModel:
    """A fit with best weights and checkpoints, ended in its midst and begun again."""
    options = {"validation": pairs(5, seed=1), "evaluate_every": 1, "checkpoint_every": 1, "output": folder}
    first = Fit(**fit_defaults({"model": make(), "data": pairs(7), **OPTIONS, **options, "steps": 4}))
    step = first._step

    def until_then() -> dict[str, Any]:
        if first.done == 2:
            raise Interrupted
        return step()

    first._step = until_then  # type: ignore[method-assign]
    try:
        first.run()
    except Interrupted:
        pass
    else:
        raise AssertionError("the fit was not interrupted")
    return fit(make(), pairs(7), **{**OPTIONS, **options, "steps": 4}).model


def tied(rank: int) -> list[bool]:
    """A model whose embeddings are its last layer too: still one tensor where the first process holds it whole."""
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(rank)
    model = transformers.LlamaForCausalLM(config)
    Processes(may_shard=True).place(model)
    model(torch.arange(6)[None]).logits.sum().backward()
    with whole_on_first(model) as complete:
        same = model.lm_head.weight is model.model.embed_tokens.weight
        plain = not any(is_sharded(weight) for weight in model.state_dict().values())
    return [complete, same, plain, any_sharded(model)]


def work(folder: Path) -> None:
    """Everything, by one of the processes."""
    rank, alone = int(os.environ.get("RANK", "0")), "RANK" not in os.environ
    numbers: dict[str, Any] = {}
    for case in CASES:
        model, metrics = fitted(case, rank)
        encoder = model.network.encoder
        numbers[case] = {
            "metrics": metrics,
            "share": sum(own(weight).numel() for weight in cut(encoder).parameters())
            / sum(weight.numel() for weight in cut(encoder).parameters()),
            "values": said(model, case),
        }
        if case in ("adapters", "frozen", "recomputed"):
            model.save(folder / case)
    model = interrupted(folder / "run")
    numbers["run"] = model(pairs(3).items).values.tolist()
    if not alone:
        numbers["tied"] = tied(rank)
    (folder / f"numbers-{rank}.json").write_text(json.dumps(numbers))


def said(model: RewardModel, case: str) -> list[Any]:
    """What a model says of some answers."""
    items = pairs(3, seed=2).items
    if case == "many":
        return list(member_values(model, items).tolist())
    return list(model.outputs(items)["vector" if case == "two_passes" else "value"].tolist())


def main(folder: Path) -> None:
    """One process, then two that share the weights out."""
    for count in (1, 2):
        place = folder / str(count)
        place.mkdir()
        os.environ.update(SHARDED if count > 1 else {})

        def both(place: Path = place) -> None:
            work(place)

        together(count, both)


if __name__ == "__main__":
    torch.set_num_threads(1)
    chat_tokenizer()
    fit(make(), pairs(2), steps=1)  # imports what fits need
    main(Path(sys.argv[1]))
