from rewards import brief

import rewardlab as rl


def attempt(turns: int) -> rl.Trajectory:
    messages = [{"role": "user", "content": "question"}]
    for _ in range(turns):
        messages += [{"role": "assistant", "content": "answer"}, {"role": "user", "content": "go on"}]
    return rl.Trajectory.from_messages(messages)


def test_brief_attempts_earn_more() -> None:
    assert brief([attempt(1), attempt(4), attempt(6), attempt(9)]).values.tolist() == [1, 1, 0.5, 0]
