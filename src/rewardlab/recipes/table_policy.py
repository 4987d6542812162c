"""A policy that is a table: scores of the next piece by prompt, by the piece before, and by place, added up.

Worlds whose questions share nothing teach a transformer one question at a time, which takes far more steps than their point
is worth. This policy has a row for each question, learns in tens of steps, and goes through the ordinary path otherwise: it
is a transformers causal language model with a tokenizer and a template, sampled and trained like any other.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from rewardlab.policies.engines.batched import BatchedEngine
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.recipes.pieces import piece_tokenizer


class TableConfig(PretrainedConfig):
    """Sizes of a table."""

    model_type = "rewardlab_table"

    def __init__(self, vocab_size: int = 8, max_position_embeddings: int = 16, **options: Any) -> None:
        self.max_position_embeddings = max_position_embeddings
        self.vocab_size = vocab_size
        super().__init__(**options)


class TableModel(PreTrainedModel):
    """Next-token logits `by_first[first token] + by_last[last token] + by_place[place]`; all begin at 0."""

    config_class = TableConfig
    main_input_name = "input_ids"

    def __init__(self, config: TableConfig) -> None:
        super().__init__(config)
        size = config.vocab_size
        self.by_first, self.by_last = nn.Embedding(size, size), nn.Embedding(size, size)
        self.by_place = nn.Embedding(config.max_position_embeddings, size)
        for table in (self.by_first, self.by_last, self.by_place):
            nn.init.zeros_(table.weight)

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing to do: the tables begin at 0."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: tuple[Tensor, int] | None = None,
        use_cache: bool = False,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Logits float[row, token, vocab]; what is kept for later is each row's first token, and how many were read."""
        first, start = (input_ids[:, :1], 0) if past_key_values is None else past_key_values
        end = start + input_ids.shape[1]
        places = torch.arange(start, end, device=input_ids.device)
        logits = self.by_first(first) + self.by_last(input_ids) + self.by_place(places)
        kept: Any = (first, end) if use_cache else None
        return CausalLMOutputWithPast(logits=logits, past_key_values=kept)


def table_policy(pieces: Sequence[str], *, context: int = 16) -> LanguageModelPolicy:
    """A table over pieces that answers everything alike until it is taught.

    Args:
        pieces: see `piece_tokenizer`; the first piece of a prompt is what the answers can depend on.
        context: the most tokens of prompt and answer.
    """
    tokenizer = piece_tokenizer(pieces)
    config = TableConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=context,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _plain(LanguageModelPolicy(TableModel(config).eval(), tokenizer, tool_syntax="none"))


def copied(policy: LanguageModelPolicy) -> LanguageModelPolicy:
    """A policy with weights of its own."""
    return _plain(LanguageModelPolicy(copy.deepcopy(policy.model), policy.tokenizer, tool_syntax="none"))


def _plain(policy: LanguageModelPolicy) -> LanguageModelPolicy:
    policy.engine = BatchedEngine(policy.model, policy.stop_ids, forward="plain")
    return policy
