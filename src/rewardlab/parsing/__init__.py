"""Reading what a language model wrote: tool calls in several syntaxes, and strict JSON with limits."""

from rewardlab.parsing.json_values import UnreadableJSON, read_json
from rewardlab.parsing.tool_calls import (
    SYNTAXES,
    ParsedMessage,
    Syntax,
    parse_tool_calls,
    render_tool_calls,
    split_thought,
)

__all__ = [
    "SYNTAXES",
    "ParsedMessage",
    "Syntax",
    "UnreadableJSON",
    "parse_tool_calls",
    "read_json",
    "render_tool_calls",
    "split_thought",
]
