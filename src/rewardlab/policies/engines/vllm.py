"""Sampling with vLLM, for real models on GPUs. vLLM is no dependency of this project: `pip install vllm` brings it.

vLLM keeps its own prefix cache, so conversations need no names here. It is asked for `processed_logprobs`, the distribution
at the sampling temperature; it takes them after `top_k` and `top_p`, so those are refused, because the recorded numbers
would not be those that training recomputes. Its engine runs in this process, so that weights are handed over in memory.

Tested against a stand-in for the module (how arguments and results are mapped), not against vLLM itself.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rewardlab.extras import MissingExtra, available
from rewardlab.policies.engines.base import Completion, Request, Sampling, check_requests

if TYPE_CHECKING:
    from torch import Tensor

    from rewardlab.policies.language_model import LanguageModelPolicy


class VllmEngine:
    """Samples with a vLLM engine in this process, and takes over the policy's weights after every update.

    Args:
        policy: the policy that is trained; give this engine to it with `policy.engine = VllmEngine(policy, model)`.
        model: name or path that vLLM loads the architecture and tokenizer from; the policy's own source when not given.
        options: passed on to `vllm.LLM`, such as `gpu_memory_utilization=0.4`.

    Raises:
        MissingExtra: vLLM is not installed.
        ValueError: the policy was not loaded by name, and no `model` was given.
    """

    def __init__(self, policy: LanguageModelPolicy, model: str | None = None, **options: Any) -> None:
        if not available("vllm"):
            raise MissingExtra("VllmEngine needs the package 'vllm', which is not installed; run: pip install vllm")
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        import vllm

        source = model or policy.source
        if source is None:
            raise ValueError(
                "the policy was not loaded by name, so vLLM cannot load its architecture; save it, give model="
            )
        self.policy, self.context = policy, policy.context
        self._sampling: Any = vllm.SamplingParams
        options = {"logprobs_mode": "processed_logprobs", "enable_prefix_caching": True, **options}
        self.llm: Any = vllm.LLM(model=source, **options)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Continue every context.

        Raises:
            ValueError: a request that cannot be served, or a sampling that cuts.
        """
        if sampling.top_k or sampling.top_p < 1:
            raise ValueError(
                f"VllmEngine samples with temperature alone, got top_k={sampling.top_k} and top_p={sampling.top_p}: the "
                "log-probabilities that vLLM gives after a cut are not those that training recomputes"
            )
        check_requests(requests, self.context)
        if not requests:
            return []
        settings = [
            self._sampling(
                temperature=sampling.temperature,
                max_tokens=min(sampling.max_new_tokens, request.max_new_tokens or sampling.max_new_tokens),
                seed=request.seed % 2**31,
                stop_token_ids=sorted(self.policy.stop_ids),
                logprobs=0,  # that of the sampled token, and no others
                detokenize=False,
            )
            for request in requests
        ]
        prompts = [{"prompt_token_ids": list(map(int, request.ids))} for request in requests]
        outputs = self.llm.generate(prompts, settings, use_tqdm=False)
        return [_completion(output.outputs[0]) for output in outputs]

    def refresh(self) -> None:
        """Load the policy's present weights, adapters merged in, and forget the prefix cache."""
        weights = merged_weights(self.policy.model)
        self.llm.apply_model(_Load(list(weights)))
        self.llm.reset_prefix_cache()

    def release(self, conversations: Sequence[Hashable]) -> None:
        """Nothing to do: vLLM drops what it needs room for."""


class _Load:
    """Loads weights into the model of a vLLM worker."""

    def __init__(self, weights: list[tuple[str, Tensor]]) -> None:
        self.weights = weights

    def __call__(self, model: Any) -> None:
        model.load_weights(iter(self.weights))


def _completion(output: Any) -> Completion:
    ids = [int(token) for token in output.token_ids]
    logprobs = None
    if output.logprobs is not None:
        logprobs = [float(entry[token].logprob) for token, entry in zip(ids, output.logprobs, strict=True)]
    return Completion(ids=ids, logprobs=logprobs, stopped=output.finish_reason == "stop")


def merged_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and weights of a model as its checkpoint has them, adapters merged in.

    Raises:
        UnsupportedModel: an adapter that is more than a sum of two factors.
    """
    from rewardlab.policies.engines.fused import layer_weight

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    adapted = {}
    for name, module in base.named_modules():
        if hasattr(module, "base_layer") or hasattr(module, "original_module"):
            adapted[name] = layer_weight(module)
    for name, tensor in base.state_dict().items():
        if ".lora_" in name or ".modules_to_save." in name:
            continue
        plain = name.replace(".base_layer.", ".").replace(".original_module.", ".")
        owner, _, kind = plain.rpartition(".")
        if owner in adapted:
            weight, bias = adapted[owner]
            tensor = weight if kind == "weight" else bias
        if tensor is not None:
            yield plain, tensor.detach()
