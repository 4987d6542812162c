from rewards import polite

import rewardlab as rl


def test_polite_answers_score_and_empty_ones_abstain() -> None:
    scores = polite([rl.Trajectory.from_text("q", text) for text in ("Thank you!", "No.", "")])
    assert scores.values[:2].tolist() == [1, 0]
    assert scores.abstained.tolist() == [False, False, True]
