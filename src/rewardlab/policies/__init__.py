"""What acts: language-model policies, the engines that sample from them, rollouts in environments; policies of control.

Names load on first use. The function `rollout` is not among them, since its module has the same name: import it with
`from rewardlab.policies.rollout import rollout`.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.policies.batching": ["TokenBatch", "collate", "micro_batches", "trajectory_tokens"],
        "rewardlab.policies.best_of": ["best_of_n", "pick_best"],
        "rewardlab.policies.control": ["ControlPolicy", "FunctionPolicy", "RandomPolicy", "collect"],
        "rewardlab.policies.stable_baselines": ["StableBaselinesPolicy"],
        "rewardlab.policies.engines.endpoint": ["EndpointError", "EndpointPolicy"],
        "rewardlab.policies.engines.base": ["Completion", "Engine", "Request", "Sampling"],
        "rewardlab.policies.engines.batched": ["BatchedEngine"],
        "rewardlab.policies.engines.vllm": ["VllmEngine"],
        "rewardlab.policies.language_model": ["LanguageModelPolicy"],
        "rewardlab.policies.lora": ["LoraSettings"],
        "rewardlab.policies.logprobs": ["token_logprobs", "token_logprobs_and_entropy"],
        "rewardlab.policies.rollout": ["Limits"],
        "rewardlab.policies.templates": ["ChatTemplate"],
    },
    rooms=["engines"],
)
