"""A lean forward pass for dense decoders of the Llama kind (Llama, Mistral, Qwen2, Qwen3), in plain torch.

What it saves beside the model's own forward is the many small operations of a decoding step: query, key and value weights
stand in one matrix, gate and up weights in another, residuals are added by the matmul, rotary embedding is one complex
product, and prompts are packed, so that no padding goes through a matmul. It holds copies of the weights, LoRA merged in,
that `refresh` takes over. The engine compares its logits with the model's own before using it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from rewardlab.policies.engines.forward import UnsupportedModel
from rewardlab.policies.engines.store import Span, Store

_KINDS = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}
_MOST_PARAMETERS = 1_000_000_000


@dataclass(slots=True)
class _Layer:
    """Weights of one layer, laid out [in, out]."""

    attention_norm: Tensor | None  # None where the weight is folded into the matrix that follows
    qkv: Tensor
    qkv_bias: Tensor | None
    head_norm: Tensor | None  # [query and key heads, dim]
    output: Tensor
    output_bias: Tensor | None
    mlp_norm: Tensor | None
    gate_up: Tensor
    gate_up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None


class FusedForward:
    """Next-token logits of a dense decoder over the slot store.

    Args:
        model: a supported transformers model, wrapped by peft or not.
        most_parameters: refuse larger models, whose copy would cost more memory than it saves time.

    Raises:
        UnsupportedModel: the architecture, or a detail of its configuration, is not covered; the message says which.
    """

    def __init__(self, model: nn.Module, *, most_parameters: int = _MOST_PARAMETERS) -> None:
        self.wrapped = model
        self.model = _base_model(model)
        config = self.model.config
        self._check(config, most_parameters)
        weight = self.model.model.embed_tokens.weight
        self.dtype, self.device = weight.dtype, weight.device
        self.hidden = config.hidden_size
        self.inner = config.intermediate_size
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.dim = getattr(config, "head_dim", None) or self.hidden // self.heads
        self.eps = config.rms_norm_eps
        # In float32, norm weights and the attention scale go into the matrices; in bfloat16 that would round them twice.
        self.fold = self.dtype == torch.float32
        self.rope = torch.empty(0, self.dim // 2, dtype=torch.complex64, device=self.device)
        shapes = [(self.kv_heads, self.dim)] * (2 * config.num_hidden_layers)
        self.store = Store(shapes, dtype=self.dtype, device=self.device)
        self.layers: list[_Layer] = []
        self.refresh()

    def _check(self, config: Any, most_parameters: int) -> None:
        kind = type(self.model).__name__
        if kind not in _KINDS or not type(self.model).__module__.startswith("transformers."):
            raise UnsupportedModel(f"{kind} is not one of {', '.join(sorted(_KINDS))}")
        if getattr(config, "hidden_act", None) != "silu":
            raise UnsupportedModel(f"activation {config.hidden_act!r}, expected 'silu'")
        kind_of_rope = config.rope_parameters.get("rope_type", "default")
        if kind_of_rope not in ("default", "linear", "llama3"):
            raise UnsupportedModel(f"rotary embedding {kind_of_rope!r}, whose frequencies depend on the length")
        if config.rope_parameters.get("partial_rotary_factor", 1.0) != 1.0:
            raise UnsupportedModel("partial rotary embedding")
        window = getattr(config, "sliding_window", None)
        sliding = "sliding_attention" in (getattr(config, "layer_types", None) or ("sliding_attention",))
        if window is not None and sliding and window < config.max_position_embeddings:
            raise UnsupportedModel(f"sliding window of {window}")
        device = self.model.model.embed_tokens.weight.device
        if device.type not in ("cpu", "cuda"):
            raise UnsupportedModel(f"device {device.type!r}")
        parameters = list(self.model.parameters())
        if any(parameter.device != device for parameter in parameters):
            raise UnsupportedModel("weights on more than one device")
        if any(parameter.is_floating_point() is False for parameter in parameters):
            raise UnsupportedModel("quantised weights")
        if sum(parameter.numel() for parameter in parameters) > most_parameters:
            raise UnsupportedModel(f"more than {most_parameters:,} parameters")

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the model's present weights, adapters merged in."""
        core = self.model.model
        self.embedding = layer_weight(core.embed_tokens)[0]
        self.layers = [self._layer(layer) for layer in core.layers]
        self.final_norm = None if self.fold else core.norm.weight.detach()
        head, self.head_bias = layer_weight(self.model.lm_head)
        head = head.t()
        self.head = (head * core.norm.weight[:, None] if self.fold else head).contiguous()

    def _layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        matrices, biases = zip(
            *(layer_weight(part) for part in (attention.q_proj, attention.k_proj, attention.v_proj)), strict=True
        )
        rotated = self.heads + self.kv_heads
        order = _interleaved(self.dim, self.device)
        scale = self.dim**-0.5 if self.fold else 1.0
        norm = None
        if hasattr(attention, "q_norm"):
            norm = torch.cat(
                [
                    (attention.q_norm.weight * scale)[order].expand(self.heads, -1),
                    attention.k_norm.weight[order].expand(self.kv_heads, -1),
                ]
            )
            scale = 1.0

        def arranged(parts: list[Tensor]) -> Tensor:
            """Stack query, key and value outputs, with the pairs that rotary embedding turns beside each other."""
            stacked = torch.cat([parts[0] * scale, *parts[1:]]).unflatten(0, (-1, self.dim)).clone()
            stacked[:rotated] = stacked[:rotated, order]
            return stacked.flatten(0, 1)

        qkv = arranged(list(matrices)).t()
        bias = None
        if any(part is not None for part in biases):
            bias = arranged([self._or_zeros(bias, matrix) for bias, matrix in zip(biases, matrices, strict=True)])
        gate_up, gate_up_bias = zip(*(layer_weight(part) for part in (mlp.gate_proj, mlp.up_proj)), strict=True)
        both = torch.cat(gate_up).t()
        both_bias = None
        if any(part is not None for part in gate_up_bias):
            both_bias = torch.cat([self._or_zeros(b, m) for b, m in zip(gate_up_bias, gate_up, strict=True)])
        attention_norm, mlp_norm = layer.input_layernorm.weight.detach(), layer.post_attention_layernorm.weight.detach()
        if self.fold:
            qkv, both = qkv * attention_norm[:, None], both * mlp_norm[:, None]
        output, output_bias = layer_weight(attention.o_proj)
        down, down_bias = layer_weight(mlp.down_proj)
        return _Layer(
            attention_norm=None if self.fold else attention_norm,
            qkv=qkv.contiguous(),
            qkv_bias=bias,
            head_norm=norm,
            output=output.t().contiguous(),
            output_bias=output_bias,
            mlp_norm=None if self.fold else mlp_norm,
            gate_up=both.contiguous(),
            gate_up_bias=both_bias,
            down=down.t().contiguous(),
            down_bias=down_bias,
        )

    @staticmethod
    def _or_zeros(bias: Tensor | None, matrix: Tensor) -> Tensor:
        return matrix.new_zeros(matrix.shape[0]) if bias is None else bias

    def __call__(self, span: Span) -> Tensor:
        """Logits float[row, vocab] after each row's last token."""
        if self.rope.shape[0] < span.width:
            self.rope = self._rope(max(span.width, self.store.capacity))
        state = self.embedding[span.tokens]
        rope = self.rope[span.positions][:, None]
        attend, write = self._plan(span)
        rotated = self.heads + self.kv_heads
        for number, layer in enumerate(self.layers):
            qkv = self._normed(state, layer.attention_norm) @ layer.qkv
            if layer.qkv_bias is not None:
                qkv += layer.qkv_bias
            qkv = qkv.view(-1, rotated + self.kv_heads, self.dim)
            turned = qkv[:, :rotated]
            if layer.head_norm is not None:
                turned = self._head_normed(turned, layer.head_norm)
            turned = self._turn(turned, rope)
            keys, values = self.store.planes[2 * number], self.store.planes[2 * number + 1]
            assert keys is not None
            assert values is not None
            keys.view(-1, self.dim).index_copy_(0, write, turned[:, self.heads :].reshape(-1, self.dim))
            values.view(-1, self.dim).index_copy_(0, write, qkv[:, rotated:].reshape(-1, self.dim))
            mixed = attend(turned[:, : self.heads], keys, values)
            state.addmm_(mixed, layer.output)
            if layer.output_bias is not None:
                state += layer.output_bias
            gate_up = self._normed(state, layer.mlp_norm) @ layer.gate_up
            if layer.gate_up_bias is not None:
                gate_up += layer.gate_up_bias
            gate = gate_up[:, : self.inner]
            silu(gate, inplace=True).mul_(gate_up[:, self.inner :])
            state.addmm_(gate, layer.down)
            if layer.down_bias is not None:
                state += layer.down_bias
        last = span.last()
        if last is not None:
            state = state[last]
        logits = self._normed(state, self.final_norm) @ self.head
        return logits if self.head_bias is None else logits + self.head_bias

    # ---- parts of a layer ---------------------------------------------------------------------------------------------

    def _normed(self, state: Tensor, weight: Tensor | None) -> Tensor:
        if weight is not None:
            wide = state.float()
            wide = wide * (wide.square().mean(-1, keepdim=True) + self.eps).rsqrt_()
            return weight * wide.to(self.dtype)
        # x / sqrt(|x|^2 / n + eps), with one reduction over the row and the rest on one number per row
        length = torch.linalg.vector_norm(state, dim=-1, keepdim=True)
        return state * length.square_().mul_(1 / self.hidden).add_(self.eps).rsqrt_()

    def _head_normed(self, states: Tensor, weight: Tensor) -> Tensor:
        wide = states.float()
        wide = wide * (wide.square().mean(-1, keepdim=True) + self.eps).rsqrt_()
        return weight * wide.to(self.dtype)

    def _turn(self, states: Tensor, rope: Tensor) -> Tensor:
        """Rotary embedding of float[token, head, dim], in place where the type allows."""
        if self.dtype == torch.float32:
            torch.view_as_complex(states.unflatten(-1, (-1, 2))).mul_(rope)
            return states
        turned = torch.view_as_complex(states.float().unflatten(-1, (-1, 2)).contiguous()) * rope
        return torch.view_as_real(turned).flatten(-2).to(self.dtype)

    def _rope(self, length: int) -> Tensor:
        """complex64[position, dim / 2] from the model's own frequencies."""
        rotary = self.model.model.rotary_emb
        angles = torch.arange(length, device=self.device).float()[:, None] * rotary.inv_freq.float().to(self.device)
        return torch.polar(torch.full_like(angles, float(rotary.attention_scaling)), angles)

    def _plan(self, span: Span) -> tuple[Any, Tensor]:
        """What is the same for all layers: how to attend, and int64[token * kv head], where keys and values are written."""
        row, column = span.grid()
        heads = torch.arange(self.kv_heads, device=self.device)
        base = ((span.first + row)[:, None] * self.kv_heads + heads) * self.store.capacity
        write = (base + span.positions[:, None]).flatten()
        if span.counts is None:
            seen = None
            if not span.uniform:
                seen = torch.arange(span.width, device=self.device) <= span.positions[:, None]
            if self.fold and self.device.type == "cpu":
                return _DecodeProducts(self, span, seen), write
            return _DecodeFused(self, span, seen), write
        return _Prefill(self, span, row, column), write


class _DecodeProducts:
    """One new token per row, by two batched products: on CPU quicker than the attention kernel, which is made for tiles."""

    def __init__(self, forward: FusedForward, span: Span, seen: Tensor | None) -> None:
        self.forward, self.span = forward, span
        self.bias = None
        if seen is not None:
            bias = torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))
            self.bias = bias[:, None].expand(-1, forward.kv_heads, -1).reshape(-1, 1, span.width)

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        forward, span = self.forward, self.span
        rows = slice(span.first, span.first + span.rows)
        grouped = queries.reshape(span.rows * forward.kv_heads, -1, forward.dim)
        keys, values = (plane[rows].flatten(0, 1)[:, : span.width] for plane in (keys, values))
        if self.bias is None:
            weights = torch.bmm(grouped, keys.transpose(1, 2))
        else:
            weights = torch.baddbmm(self.bias, grouped, keys.transpose(1, 2))
        return torch.bmm(weights.softmax(-1), values).view(span.rows, -1)


class _DecodeFused:
    """One new token per row, by the attention kernel; the heads of a group stand as its queries."""

    def __init__(self, forward: FusedForward, span: Span, seen: Tensor | None) -> None:
        self.forward, self.span = forward, span
        self.mask = None if seen is None else seen[:, None, None]
        self.scale = 1.0 if forward.fold else None

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        span = self.span
        rows = slice(span.first, span.first + span.rows)
        grouped = queries.reshape(span.rows, self.forward.kv_heads, -1, self.forward.dim)
        keys, values = (plane[rows, :, : span.width] for plane in (keys, values))
        mixed = scaled_dot_product_attention(grouped, keys, values, attn_mask=self.mask, scale=self.scale)
        return mixed.reshape(span.rows, -1)


class _Prefill:
    """Several new tokens per row: queries are spread over a padded grid for attention alone."""

    def __init__(self, forward: FusedForward, span: Span, row: Tensor, column: Tensor) -> None:
        assert span.counts is not None
        self.forward, self.span, self.row, self.column = forward, span, row, column
        self.longest = max(span.counts)
        self.scale = 1.0 if forward.fold else None
        self.even = min(span.counts) == self.longest
        self.mask = None
        if not span.fresh:
            # a padded query stands after its row's last token; what it sees does not matter, but it must see something
            grid = torch.zeros((span.rows, self.longest), dtype=torch.long, device=forward.device)
            grid[row, column] = span.positions
            self.mask = (torch.arange(span.width, device=forward.device) <= grid[:, :, None])[:, None]

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        forward, span = self.forward, self.span
        rows = slice(span.first, span.first + span.rows)
        repeats = forward.heads // forward.kv_heads
        keys, values = (plane[rows, :, : span.width] for plane in (keys, values))
        if repeats > 1:
            keys, values = (plane.repeat_interleave(repeats, dim=1) for plane in (keys, values))
        if self.even:
            grid = queries.view(span.rows, self.longest, forward.heads, forward.dim)
        else:
            grid = queries.new_zeros((span.rows, self.longest, forward.heads, forward.dim))
            grid[self.row, self.column] = queries
        mixed = scaled_dot_product_attention(
            grid.transpose(1, 2), keys, values, attn_mask=self.mask, is_causal=span.fresh, scale=self.scale
        ).transpose(1, 2)
        if self.even:
            return mixed.reshape(len(self.row), -1)
        return mixed[self.row, self.column].flatten(1)


def _interleaved(dim: int, device: torch.device) -> Tensor:
    """int64[dim]: puts the two halves that rotary embedding pairs beside each other; products of heads do not change."""
    return torch.arange(dim, device=device).view(2, -1).t().flatten()


def _base_model(model: nn.Module) -> Any:
    find = getattr(model, "get_base_model", None)
    return find() if find is not None else model


def layer_weight(layer: Any) -> tuple[Tensor, Tensor | None]:
    """Weight [out, in] and bias of a linear or embedding layer, with LoRA merged in.

    Raises:
        UnsupportedModel: an adapter that cannot be merged this way.
    """
    if type(layer) in (nn.Linear, nn.Embedding):
        bias = getattr(layer, "bias", None)
        return layer.weight.detach(), None if bias is None else bias.detach()
    try:
        from peft.tuners.lora import Linear as LoraLinear
        from peft.utils.other import ModulesToSaveWrapper
    except ModuleNotFoundError:
        raise UnsupportedModel(f"layer of type {type(layer).__name__}") from None
    if type(layer) is ModulesToSaveWrapper:
        if layer.disable_adapters or len(layer.active_adapters) != 1:
            return layer_weight(layer.original_module)
        return layer_weight(layer.modules_to_save[layer.active_adapters[0]])
    if type(layer) is not LoraLinear:
        raise UnsupportedModel(f"layer of type {type(layer).__name__}")
    weight, bias = layer_weight(layer.base_layer)
    if layer.disable_adapters or layer.merged:
        return weight, bias
    for adapter in layer.active_adapters:
        if adapter not in layer.lora_A:
            continue
        plain = not layer.lora_bias.get(adapter, False) and adapter not in getattr(layer, "lora_variant", {})
        if not plain or layer.fan_in_fan_out:
            raise UnsupportedModel(f"LoRA adapter {adapter!r} with more than two factors")
        weight = weight + layer.get_delta_weight(adapter).detach()
    return weight, bias
