from __future__ import annotations

import pytest

from rewardlab.environments.tool_desk import ToolDesk
from rewardlab.policies.batching import trajectory_tokens
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.engines.endpoint import EndpointError, EndpointPolicy
from rewardlab.policies.rollout import Limits, rollout
from tests.policies.server import ChatServer, wait_for
from tests.policies.worlds import Echo, task

ASKED = [{"role": "user", "content": "hi"}]


def connect(server, **options):
    return EndpointPolicy("m", base_url=server.url, api_key="secret", **{"retries": 2, "timeout": 10.0, **options})


def test_a_rollout_over_http_solves_the_desk():
    """The server plays the desk's own scripts: what it sends as tool calls reaches the environment as they are."""
    desk = ToolDesk(show_tools=True)
    tasks = desk.tasks("train", 4)
    scripts = {demo.task.prompt[-1]["content"]: demo.actions for demo in desk.demonstrations(tasks)}

    def answer(body, number):
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        action = scripts[body["messages"][1]["content"]][turn]
        return {**action, "logprobs": [-0.1, -0.2], "finish": "tool_calls" if "tool_calls" in action else "stop"}

    with ChatServer(answer) as server:
        policy = connect(server, logprobs=True)
        sampling = Sampling(temperature=0.3, top_k=5, max_new_tokens=77)
        trajectories = rollout(policy, lambda: ToolDesk(show_tools=True), tasks, group_size=2, sampling=sampling)
    assert all(trajectory.info["success"] for trajectory in trajectories)
    first = trajectories[0]
    assert first.tokens is None
    assert first.info["logprobs"] == [[-0.1, -0.2]] * len(first)
    assert len(first.info["texts"]) == len(first) == len(first.seconds)
    body = server.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"], body["top_k"]) == ("m", 0.3, 77, 5)
    assert body["logprobs"] is True
    assert {tool["function"]["name"] for tool in body["tools"]} >= {"look_up", "calculate"}
    assert server.headers[0]["authorization"] == "Bearer secret"
    assert len({body["seed"] for body in server.bodies}) == len(server.bodies)
    with pytest.raises(
        ValueError, match=r"trajectory 0 has no tokens, so it cannot be trained on.*encode_demonstration"
    ):
        trajectory_tokens(trajectories)


def test_trouble_is_tried_again():
    statuses = {0: 503, 1: 429}
    with ChatServer(lambda body, number: statuses.get(number, {"content": "hello"})) as server:
        assert connect(server).respond([ASKED]) == [{"role": "assistant", "content": "hello"}]
        assert len(server.bodies) == 3


def test_one_conversation_that_gets_no_answer_fails_alone():
    def answer(body, number):
        if body["messages"][0]["content"] == "broken" and len(body["messages"]) > 1:
            return 400
        return {"content": "ok"}

    with ChatServer(answer) as server:
        broken, fine = rollout(connect(server), Echo, [task("a", "broken"), task("b")])
    assert "did not answer: BadRequestError: Error code: 400" in broken.info["failed"]
    assert len(broken) == 1
    assert not broken.terminated
    assert fine.terminated
    assert "failed" not in fine.info


def test_a_server_that_never_answers_is_reported_once():
    with ChatServer(lambda body, number: 401) as server:
        with pytest.raises(
            EndpointError, match=r"the server at http://127.0.0.1:\d+/v1/ did not answer: AuthenticationError"
        ):
            rollout(connect(server), Echo, [task("a"), task("b")])
        url = server.url
    with pytest.raises(EndpointError, match="did not answer: APIConnectionError"):
        EndpointPolicy("m", base_url=url, retries=0).respond([ASKED])


def test_slow_answers_time_out():
    import threading

    release = threading.Event()

    def answer(body, number):
        release.wait(20)
        return {"content": "late"}

    with ChatServer(answer) as server:
        try:
            with pytest.raises(EndpointError, match="did not answer: APITimeoutError"):
                connect(server, timeout=0.2, retries=0).respond([ASKED])
        finally:
            release.set()


def test_no_more_requests_at_once_than_allowed():
    with ChatServer(lambda body, number: (wait_for(lambda: server.busy >= 3, 0.3), {"content": "ok"})[1]) as server:
        connect(server, concurrency=3).respond([ASKED] * 9)
    assert server.most_busy == 3


def test_calls_in_the_text_are_read_where_the_server_does_not():
    text = 'so: <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    with ChatServer(lambda body, number: {"content": text}) as server:
        plain, read = connect(server).respond([ASKED])[0], connect(server, tool_syntax="hermes").respond([ASKED])[0]
    assert plain == {"role": "assistant", "content": text}
    assert read["content"] == "so:"
    assert read["tool_calls"][0]["function"]["name"] == "add"


def test_limits():
    with ChatServer(lambda body, number: {"content": "ok", "finish": "length"}) as server:
        cut = rollout(connect(server), Echo, [task("a")])[0]
    assert (len(cut), cut.truncated, cut.info["limit"]) == (1, True, "tokens")
    with ChatServer(lambda body, number: {"content": "ok", "total": 40 * (number + 1)}) as server:
        policy = connect(server, limit_field="max_completion_tokens")
        spent = rollout(policy, Echo, [task("a")], limits=Limits(tokens=70), sampling=Sampling(max_new_tokens=50))[0]
    assert spent.info["limit"] == "tokens"
    assert [body["max_completion_tokens"] for body in server.bodies] == [50, 30]


def test_what_needs_weights_is_refused():
    policy = EndpointPolicy("m", base_url="http://127.0.0.1:9/v1")
    for use in (lambda: policy.model, lambda: policy.encode_demonstration(None)):
        with pytest.raises(TypeError, match="has no weights or tokens here, so it cannot be trained"):
            use()
    for options, message in (
        ({"concurrency": 0}, "concurrency must be at least 1, got 0"),
        ({"timeout": 0}, "timeout must be a positive number of seconds, got 0"),
        ({"retries": -1}, "retries must not be negative, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            EndpointPolicy("m", **options)
