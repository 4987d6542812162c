"""The embedded default: a tiny Llama with random weights, and a small tokenizer fitted to a corpus in seconds.

Everything is real `transformers`: the model is a `LlamaForCausalLM` and the tokenizer saves and loads like any other, so
what is trained here goes down the same code as a model from a hub. The tokenizer is byte-level (any text decodes to itself)
and made for short conversations with tools: a digit is one token; a word of the corpus is one token, and the same one
wherever it stands, because spaces are tokens of their own, so that a small model can copy a tool's answer into the next
call; the scaffold of a tool call is two tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rewardlab.types import Message, call_arguments, message_text

PAD, END = "<|pad|>", "<|end|>"
ROLES = {name: f"<|{name}|>" for name in ("system", "user", "assistant", "tool")}
MARKERS = ("<tool_call>", "</tool_call>", "<think>", "</think>")
SCAFFOLDS = ('{"name": "', '", "arguments": {"')
PIECES = r"[\p{L}\p{M}_]+|\p{N}|[^\p{L}\p{M}\p{N}_]+"
TOOLS = ("signatures", "json", "hidden")

_TEMPLATE = """\
{%- set shown %}{% if tools %}@TOOLS@{% endif %}{% endset -%}
{%- if shown and messages[0].role not in ("system", "developer") %}<|system|>{{ shown }}<|end|>{% endif -%}
{%- for message in messages -%}
{%- if message.role in ("system", "developer") -%}
<|system|>{{ message.content }}{% if loop.first and shown %}{{ "\\n" + shown }}{% endif %}<|end|>
{%- elif message.role == "assistant" -%}
<|assistant|>{{ message.content }}
{%- for call in message.tool_calls or [] -%}
{{ '<tool_call>{"name": ' + call.function.name | tojson }}
{{- ', "arguments": ' + call.function.arguments | tojson + '}</tool_call>' }}
{%- endfor -%}
<|end|>
{%- else -%}
<|{{ message.role }}|>{{ message.content }}<|end|>
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|assistant|>{% endif -%}
"""
_TOOL_TEXTS = {
    "signatures": "{% for tool in tools %}{{ '\\n' if not loop.first else '' }}{{ tool.function.name }}"
    "({{ (tool.function.parameters.properties or {}) | join(', ') }}){% endfor %}",
    "json": "{% for tool in tools %}{{ '\\n' if not loop.first else '' }}{{ tool.function | tojson }}{% endfor %}",
    "hidden": "",
}


def tiny_template(tools: str = "signatures") -> str:
    """The chat template of tiny policies.

    Args:
        tools: how tools are shown in the system turn: one `name(parameter, ...)` a line (`signatures`), their whole
            description (`json`), or not at all (`hidden`).

    Raises:
        ValueError: any other word.
    """
    if tools not in TOOLS:
        raise ValueError(f"tools must be one of {', '.join(TOOLS)}, got {tools!r}")
    return _TEMPLATE.replace("@TOOLS@", _TOOL_TEXTS[tools])


def tiny_tokenizer(
    corpus: Iterable[str | Sequence[Message]], vocabulary_size: int = 768, *, tools: str = "signatures"
) -> Any:
    """Fit a byte-level tokenizer with the chat markers.

    Half of what 256 bytes and the markers leave goes to the corpus's words, those first that save most tokens; the rest to
    byte-pair merges, for words that are not among them. Where all words fit, all get a token.

    Args:
        corpus: texts, or conversations in the OpenAI format.
        vocabulary_size: the most tokens; fewer where the corpus has fewer words.
        tools: see `tiny_template`.

    Returns:
        A transformers tokenizer with a chat template, `<|end|>` as end of turn and `<|pad|>` as padding.

    Raises:
        ValueError: the vocabulary cannot hold the bytes and the markers, or the corpus has no text.
    """
    from tokenizers import AddedToken, Regex, Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Split
    from tokenizers.pre_tokenizers import Sequence as Several
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    special = [PAD, END, *ROLES.values()]
    added = [*special, *MARKERS, *SCAFFOLDS]
    smallest = 256 + len(added)
    if vocabulary_size < smallest:
        raise ValueError(f"vocabulary_size must be at least {smallest} (bytes and markers), got {vocabulary_size}")
    split = Several([Split(Regex(PIECES), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])
    texts = [text for entry in corpus for text in ([entry] if isinstance(entry, str) else _texts(entry))]
    words: Counter[str] = Counter()
    for text in texts:
        for marker in added:
            text = text.replace(marker, "\n")
        words.update(piece for piece, _ in split.pre_tokenize_str(text))
    if not words:
        raise ValueError("the corpus has no text to fit a tokenizer to; give texts or conversations that have content")
    alphabet = sorted(ByteLevel.alphabet())
    longer = [word for word in words if len(word) > 1]
    longer.sort(key=lambda word: (-words[word] * (len(word) - 1), word))
    room = vocabulary_size - smallest
    chosen = longer[: room if len(longer) <= room else room // 2]
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = split
    others = [word for word in longer if word not in set(chosen)]
    merges: list[tuple[str, str]] = []
    if others and len(chosen) < room:
        trainer = BpeTrainer(vocab_size=256 + room - len(chosen), initial_alphabet=alphabet, show_progress=False)
        # the trainer counts words itself: it is given each of the others as often as it occurs, decoded from its bytes
        decoder = ByteLevelDecoder()
        trained.train_from_iterator((decoder.decode([word]) for word in others for _ in range(words[word])), trainer)
        merges = _merges(trained)
    vocabulary: dict[str, int] = {}
    for piece in [*alphabet, *chosen, *("".join(pair) for pair in merges)]:
        vocabulary.setdefault(piece, len(vocabulary))
    merges = [pair for pair in merges if all(part in vocabulary for part in pair)]
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(marker, special=True, normalized=False) for marker in special])
    tokenizer.add_tokens([AddedToken(m, special=False, normalized=False) for m in (*MARKERS, *SCAFFOLDS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        chat_template=tiny_template(tools),
        clean_up_tokenization_spaces=False,
    )


def tiny_model(
    vocabulary_size: int,
    *,
    hidden: int = 96,
    layers: int = 2,
    heads: int = 4,
    context: int = 1024,
    end_id: int | None = None,
    pad_id: int | None = None,
    seed: int = 0,
) -> Any:
    """A Llama with random weights.

    Args:
        vocabulary_size: tokens it reads and writes.
        hidden: width of the residual stream.
        layers, heads: depth, and attention heads (`hidden` must be a multiple of twice their number).
        context: the most tokens it can read.
        end_id, pad_id: ids of the end of turn and of padding.
        seed: of the weights; the random state of the program is left as it was.

    Raises:
        ValueError: `hidden` does not fit the number of heads.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if heads < 1 or hidden % (2 * heads):
        raise ValueError(f"hidden must be a multiple of twice the heads ({heads}), got {hidden}")
    config = LlamaConfig(
        vocab_size=vocabulary_size,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        initializer_range=0.5 * hidden**-0.5,
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def _texts(messages: Sequence[Message]) -> Iterable[str]:
    """The texts of a conversation as the template shows them."""
    import json

    for message in messages:
        yield message_text(message)
        for call in message.get("tool_calls") or ():
            name, arguments = call_arguments(call)
            yield json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


def _merges(tokenizer: Any) -> list[tuple[str, str]]:
    import json

    found = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in found]
