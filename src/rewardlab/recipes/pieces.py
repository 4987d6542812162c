"""The policies of the recipes' small worlds: a tiny transformer whose tokens are given pieces of text.

A world names its pieces (a word, a digit, the scaffold of a tool call); text made of them is tokenised piece by piece and
decodes to itself. So a policy of a few hundred thousand weights reads and writes the same text that rewards for large models
read, and everything between (template, rollout, objective) is the ordinary path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rewardlab.extras import require

if TYPE_CHECKING:
    from rewardlab.policies.language_model import LanguageModelPolicy

PAD, END, ANSWER, UNKNOWN = "<|pad|>", "<|end|>", "<|answer|>", "<|unknown|>"
_TEMPLATE = (
    "{%- for message in messages -%}{{ message.content }}"
    f"{{{{ '{END}' if message.role == 'assistant' else '{ANSWER}' }}}}"
    "{%- endfor -%}"
)


def piece_tokenizer(pieces: Sequence[str]) -> Any:
    """A transformers tokenizer with one token for each piece, and `<|end|>` at the end of an answer.

    Args:
        pieces: the texts that tokens stand for, all different; where one begins like another, the longer is tried first.

    Raises:
        ValueError: a piece is empty or occurs twice.
    """
    require("tokenizers", extra="torch", why="A recipe's tokenizer")
    transformers = require("transformers", extra="lm", why="A recipe's tokenizer")
    from tokenizers import AddedToken, Regex, Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    if len(set(pieces)) != len(pieces) or "" in pieces:
        raise ValueError(f"pieces must be different texts, none of them empty, got {list(pieces)!r:.200}")
    special = [PAD, END, ANSWER, UNKNOWN]
    tokenizer = Tokenizer(WordLevel({piece: index for index, piece in enumerate([*special, *pieces])}, UNKNOWN))
    longest_first = sorted(pieces, key=lambda piece: (-len(piece), piece))
    tokenizer.pre_tokenizer = Split(Regex("|".join(map(re.escape, longest_first))), "isolated")
    tokenizer.decoder = Fuse()
    tokenizer.add_special_tokens([AddedToken(marker, special=True, normalized=False) for marker in special])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        chat_template=_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def piece_policy(
    pieces: Sequence[str], *, hidden: int = 96, layers: int = 2, heads: int = 4, context: int = 64, seed: int = 0
) -> LanguageModelPolicy:
    """A policy with random weights that reads and writes text made of pieces.

    Tool calls stay in the text (`tool_syntax="none"`), for rewards that look at its layout.

    Args:
        pieces: see `piece_tokenizer`.
        hidden, layers, heads, context: size of the model; see `rewardlab.policies.tiny.tiny_model`.
        seed: of the weights.
    """
    from rewardlab.policies.language_model import LanguageModelPolicy
    from rewardlab.policies.tiny import tiny_model

    tokenizer = piece_tokenizer(pieces)
    model = tiny_model(
        len(tokenizer),
        hidden=hidden,
        layers=layers,
        heads=heads,
        context=context,
        end_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        seed=seed,
    )
    return LanguageModelPolicy(model, tokenizer, tool_syntax="none")
