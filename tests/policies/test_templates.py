from __future__ import annotations

import json

import pytest

from rewardlab.policies.templates import ChatTemplate
from rewardlab.policies.tiny import tiny_tokenizer
from tests.policies.templates import DEAF, LINES, NUMBERED, THINKING, make_tokenizer


def call(name, arguments, identity="call_0"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


QUESTION = {"role": "user", "content": "What is 2 + 2?"}
CALLS = {"role": "assistant", "content": "", "tool_calls": [call("add", {"a": 2, "b": "é"}), call("add", {}, "call_1")]}
RESULTS = [
    {"role": "tool", "content": "4", "name": "add", "tool_call_id": "call_0"},
    {"role": "tool", "content": "error\n<b>", "name": "add", "tool_call_id": "call_1"},
]
ANSWER = {"role": "assistant", "content": "It is four."}
FOLLOWING = {"role": "user", "content": "And 3 + 3?"}


def templates():
    return {
        "tiny": ChatTemplate(tiny_tokenizer(["What is 2 + 2? It is four."], 400)),
        "thinking": ChatTemplate(make_tokenizer(THINKING)),
        "numbered": ChatTemplate(make_tokenizer(NUMBERED, "</s>")),
    }


def grown(template, conversation):
    """The conversation token by token, as a rollout that samples just these messages would grow it."""
    ids, written = [], []
    opening = next(place for place, message in enumerate(conversation) if message["role"] == "assistant")
    ids += template.opening(conversation[:opening])
    place = opening
    while place < len(conversation):
        action = conversation[place]
        body = template.body(action)
        ids += body
        written.append(body)
        place += 1
        arrived = []
        while place < len(conversation) and conversation[place]["role"] != "assistant":
            arrived.append(conversation[place])
            place += 1
        if arrived:
            ids += template.continuation(action, arrived)
    return ids, written


@pytest.mark.parametrize("name", ["tiny", "thinking", "numbered"])
def test_growing_gives_the_tokens_of_the_whole(name):
    template = templates()[name]
    conversation = [QUESTION, CALLS, *RESULTS, ANSWER, FOLLOWING]
    whole = template.tokenizer.apply_chat_template(
        [QUESTION, *json.loads(json.dumps([CALLS, *RESULTS, ANSWER, FOLLOWING]), object_hook=_parsed)],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    ids, written = grown(template, conversation)
    assert template.tokenizer.decode(ids) == template.tokenizer.decode(whole)
    assert ids == whole
    assert all(body[-1] == template.end_id for body in written)
    assert template.decode(written[1]).strip() == "It is four."


def _parsed(value):
    if isinstance(value.get("arguments"), str):
        value["arguments"] = json.loads(value["arguments"])
    return value


def test_thoughts_stay_where_the_template_would_drop_them():
    template = templates()["thinking"]
    thinking = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nIt is four."}
    ids = template.opening([QUESTION]) + template.body(thinking)
    ids += template.continuation(thinking, [FOLLOWING])
    text = template.tokenizer.decode(ids)
    assert "<think>\nhm\n</think>" in text
    assert text.count("You are a default.") == 1
    assert text.endswith("<|im_end|>\n<|im_start|>user\nAnd 3 + 3?<|im_end|>\n<|im_start|>assistant\n")


def test_a_cut_action_gets_its_end():
    template = templates()["thinking"]
    ended = template.continuation(ANSWER, [FOLLOWING])
    assert template.continuation(ANSWER, [FOLLOWING], ended=False) == [template.end_id, *ended]


def test_nothing_arrived():
    template = templates()["tiny"]
    assert template.tokenizer.decode(template.continuation(ANSWER, [])) == "<|assistant|>"


def test_a_template_without_markers():
    tokenizer = make_tokenizer(LINES)
    template = ChatTemplate(tokenizer)
    assert template.end_id is None
    assert template.stop_ids == {tokenizer.eos_token_id}
    ids = template.opening([QUESTION]) + template.body(ANSWER) + template.continuation(ANSWER, [FOLLOWING])
    expected = "user: What is 2 + 2?\nassistant: It is four.<|im_end|>\nuser: And 3 + 3?\nassistant: "
    assert tokenizer.decode(ids) == expected


def test_stop_tokens_of_the_generation_config_count():
    tokenizer = make_tokenizer(THINKING)
    extra = tokenizer.convert_tokens_to_ids("<s>")
    template = ChatTemplate(tokenizer, stop=[extra])
    assert template.stop_ids == {extra, tokenizer.eos_token_id}
    assert template.end_id == tokenizer.eos_token_id


def test_options_reach_the_template():
    tokenizer = make_tokenizer(LINES + "{% if quiet %}(quietly) {% endif %}")
    assert tokenizer.decode(ChatTemplate(tokenizer, options={"quiet": True}).opening([QUESTION])).endswith("(quietly) ")


def test_missing_and_useless_templates_are_refused():
    with pytest.raises(ValueError, match=r"has no chat template.*give one with .*chat_template="):
        ChatTemplate(make_tokenizer(None))
    with pytest.raises(ValueError, match="does not show what an assistant message says"):
        ChatTemplate(make_tokenizer(DEAF))


def test_what_a_template_cannot_write_is_named():
    with pytest.raises(
        ValueError, match="the chat template cannot write a conversation of user, assistant: TemplateSyntax"
    ):
        ChatTemplate(make_tokenizer("{{ bad"))
    with pytest.raises(
        ValueError, match="a conversation of user, tool: TemplateError: tool output must follow a tool call"
    ):
        templates()["numbered"].opening([QUESTION, RESULTS[0]])
    with pytest.raises(ValueError, match="message 0 of the prompt must be a chat message .*, got 'role'"):
        templates()["tiny"].opening({"role": "user"})


def test_arguments_that_are_not_json_and_absent_content_pass():
    template = templates()["tiny"]
    broken = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": "{oops"}}]}
    assert "oops" in template.tokenizer.decode(template.body(broken))
    assert template.continuation(broken, RESULTS[:1])
