"""Chat templates in the manners of real ones, and tokenizers to go with them."""

from __future__ import annotations

from typing import Any

from rewardlab.policies.tiny import tiny_tokenizer

# default system prompt; thoughts of earlier turns are dropped; tool output is wrapped in a user turn
THINKING = """\
{%- if messages[0].role == "system" %}{{ "<|im_start|>system\\n" + messages[0].content + "<|im_end|>\\n" }}
{%- else %}{{ "<|im_start|>system\\nYou are a default.<|im_end|>\\n" }}{% endif %}
{%- set ns = namespace(last=-1) %}
{%- for message in messages %}{% if message.role == "user" %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for message in messages %}
{%- if message.role == "user" %}{{ "<|im_start|>user\\n" + message.content + "<|im_end|>\\n" }}
{%- elif message.role == "assistant" %}
{%- set content = message.content %}
{%- if "</think>" in content and loop.index0 < ns.last %}{% set content = content.split("</think>")[-1] %}{% endif %}
{{- "<|im_start|>assistant\\n" + content }}
{%- for call in message.tool_calls or [] %}
{{- "\\n<tool_call>\\n" + {"name": call.function.name, "arguments": call.function.arguments} | tojson + "\\n</tool_call>" }}
{%- endfor %}{{ "<|im_end|>\\n" }}
{%- elif message.role == "tool" %}
{%- if loop.first or messages[loop.index0 - 1].role != "tool" %}{{ "<|im_start|>user" }}{% endif %}
{{- "\\n<tool_response>\\n" + message.content + "\\n</tool_response>" }}
{%- if loop.last or messages[loop.index0 + 1].role != "tool" %}{{ "<|im_end|>\\n" }}{% endif %}
{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{ "<|im_start|>assistant\\n" }}{% endif %}"""

# no end-of-turn marker but the end of sequence; tool calls need ids, and tool output must follow them
NUMBERED = """\
{{- "<s>" }}{%- for message in messages %}
{%- if message.role in ("user", "system") %}{{ "[INST] " + message.content + "[/INST]" }}
{%- elif message.role == "assistant" and message.tool_calls %}
{{- "[CALLS]" }}{% for call in message.tool_calls %}{{ call.function.name + call.function.arguments | tojson + "#" + call.id }}
{%- endfor %}{{ "</s>" }}
{%- elif message.role == "assistant" %}{{ " " + message.content | trim + "</s>" }}
{%- else %}
{%- if messages[loop.index0 - 1].role == "user" %}{{ raise_exception("tool output must follow a tool call") }}{% endif %}
{{- "[RESULT]" + message.tool_call_id + "=" + message.content + "[/RESULT]" }}
{%- endif %}{%- endfor %}"""

# no markers at all: plain lines
LINES = """\
{%- for message in messages %}{{ message.role + ": " + message.content + "\\n" }}{% endfor %}
{%- if add_generation_prompt %}{{ "assistant: " }}{% endif %}"""

# shows what users say only
DEAF = """{%- for message in messages %}{% if message.role == "user" %}{{ message.content }}{% endif %}{% endfor %}"""


def make_tokenizer(template: str | None, end: str = "<|im_end|>", pad: str | None = None) -> Any:
    """The tiny tokenizer with other markers and another template."""
    tokenizer = tiny_tokenizer(["What is 2 + 2? It is four. tool result"], 400)
    tokenizer.add_special_tokens(
        {"eos_token": end, "additional_special_tokens": ["<|im_start|>", "<s>", "[INST]", "[/INST]", "[CALLS]"]}
    )
    tokenizer.pad_token = pad
    tokenizer.chat_template = template
    return tokenizer
