"""Causal language models of transformers, full or PEFT-wrapped, as distributions over sequences."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from ebmlm.attention import BranchSteps, TreeAttention, TreePass, TrunkPass, attending, install
from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.heads import draw_rows, score_rows
from ebmlm.language_model import Decoder, LanguageModel, Scoring, TreeStates
from ebmlm.layout import Prefixes, PrefixTree, Trunk
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.typing import BatchAnchor, BatchAnchorSample, BatchPosition

__all__ = ["TransformersLanguageModel"]


class TransformersLanguageModel(LanguageModel):
    """Any causal language model of transformers whose attention can take the prefix tree.

    The model is used in place: training it trains what was passed in. Its dropout is set to zero,
    since a rollout's log-probability must be that of the distribution it was drawn from. Numerical
    precision is the caller's: use ``torch.autocast`` for bfloat16 compute over float32 weights.

    Args:
        model: a ``...ForCausalLM``, or a PEFT model around one.
        end_tokens: ids that end a completion; by default those of its generation configuration.

    Raises:
        UserError: (a ValueError) naming the model type and the reason, where the architecture
            cannot take the tree mask: sliding windows, recurrent state, attention of its own.
    """

    def __init__(self, model: Any, end_tokens: Sequence[int] | None = None) -> None:
        from ebmlm.compatibility import check_tree_attention, check_windows

        base = _base(model)
        check_windows(base.config)
        self.model = model
        self._context: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._trainable = True
        self._body, self._head = base.base_model, base.get_output_embeddings()
        config = base.config.get_text_config()
        self.layer_count = config.num_hidden_layers
        self.hidden_size = config.hidden_size
        self.vocabulary_size = config.vocab_size
        self._longest = getattr(config, "max_position_embeddings", None)
        self.end_tokens = tuple(_end_tokens(base) if end_tokens is None else end_tokens)
        _switch_off_dropout(model)
        check_tree_attention(self, lambda: install(base))

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def start(
        self,
        batch: SequenceBatch,
        anchors: BatchAnchor,
        anchor_mask: BatchAnchor,
        samples: int,
        horizon: int,
    ) -> Decoder:
        """See :meth:`LanguageModel.start`."""
        prefixes = Prefixes.of(batch, anchors, anchor_mask)
        self._check_length(int(prefixes.positions().max()) + horizon)
        with torch.no_grad():
            attention = TrunkPass(trunk := Trunk.of(batch), keep=True)
            states = self._run(trunk.tokens, trunk.positions, attention)
        assert attention.kept is not None
        steps = BranchSteps(attention.kept, prefixes, samples, horizon)
        parents = states.gather(1, _over(prefixes.parents(), states))
        return _TreeDecoder(self, steps, parents, prefixes.positions(), samples)

    def score(self, rollouts: Rollouts, *, sequences: bool = False) -> Scoring:
        """See :meth:`LanguageModel.score`; one forward pass over trunk and branches."""
        tree = PrefixTree.of(rollouts)
        self._check_length(int(tree.positions.max()) + 1)
        with self._gradient():
            states = self._run(tree.tokens, tree.positions, TreePass(tree))
            mask = rollouts.token_mask()
            parents = tree.parents[mask]
            row = _rows_of(mask)
            scored = score_rows(
                self._head, states[row, parents], rollouts.completions[mask], rollouts.distribution
            )
            completions = scored.new_zeros(mask.shape).masked_scatter(mask, scored)
            trunk = states[:, : tree.trunk_length]
            return Scoring(
                completions, self._score_trunk(trunk, rollouts.batch) if sequences else None
            )

    def score_sequences(self, batch: SequenceBatch) -> BatchPosition:
        """See :meth:`LanguageModel.score_sequences`."""
        trunk = Trunk.of(batch)
        self._check_length(int(trunk.positions.max()) + 1)
        with self._gradient():
            states = self._run(trunk.tokens, trunk.positions, TrunkPass(trunk))
            return self._score_trunk(states, batch)

    def hidden_states(self, rollouts: Rollouts, layers: Sequence[int]) -> TreeStates:
        """See :meth:`LanguageModel.hidden_states`; layers after the deepest one are not run.

        Raises:
            ValueError: if a layer is not in 0..layer_count.
        """
        for layer in layers:
            if not 0 <= layer <= self.layer_count:
                raise ValueError(f"layer {layer}: this model has layers 0 to {self.layer_count}")
        tree = PrefixTree.of(rollouts)
        self._check_length(int(tree.positions.max()) + 1)
        with self._gradient(), _Taps(self._body, self.layer_count, layers) as taps:
            with taps.stopping():
                taps.last = self._run(tree.tokens, tree.positions, TreePass(tree))
            states = [taps[layer] for layer in layers]
        anchor, sample, token = tree.shape
        length = tree.trunk_length
        return TreeStates(
            trunk=tuple(state[:, :length] for state in states),
            branches=tuple(
                rearrange(
                    state[:, length:],
                    "batch (anchor sample token) feature -> batch anchor sample token feature",
                    anchor=anchor,
                    sample=sample,
                    token=token,
                )
                for state in states
            ),
        )

    def frozen(self, dtype: torch.dtype | None = None) -> TransformersLanguageModel:
        """See :meth:`LanguageModel.frozen`; a copy can be kept in another ``dtype``."""
        view = copy.copy(self)
        view._trainable = False
        if hasattr(self.model, "disable_adapter"):
            view._context = self.model.disable_adapter
            return view
        view.model = copy.deepcopy(self.model).requires_grad_(False).eval()
        if dtype is not None:
            view.model.to(dtype)
        view._body, view._head = view.model.base_model, view.model.get_output_embeddings()
        return view

    def _gradient(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._trainable else _without_gradient()

    def _run(self, tokens: Tensor, positions: Tensor, attention: TreeAttention) -> Tensor:
        """Return the states (batch, node, feature) that the head reads."""
        with self._context(), attending(attention):
            output = self._body(input_ids=tokens, position_ids=positions, use_cache=False)
        states: Tensor = output.last_hidden_state
        return states

    def _score_trunk(self, states: Tensor, batch: SequenceBatch) -> Tensor:
        mask = batch.target_mask()
        scored = score_rows(
            self._head, states[:, :-1][mask[:, 1:]], batch.sequences[mask], Categorical()
        )
        return scored.new_zeros(mask.shape).masked_scatter(mask, scored)

    def _check_length(self, length: int) -> None:
        if self._longest is not None and length > self._longest:
            raise ValueError(
                f"{length} positions asked for: this model has {self._longest}"
                " (max_position_embeddings); use shorter sequences or a shorter horizon"
            )


class _TreeDecoder(Decoder):
    def __init__(
        self,
        model: TransformersLanguageModel,
        steps: BranchSteps,
        parents: Tensor,
        positions: BatchAnchor,
        samples: int,
    ) -> None:
        self._model, self._steps = model, steps
        self._shape = (*positions.shape, samples)
        self._states = repeat(
            parents, "batch anchor feature -> (batch anchor sample) feature", sample=samples
        )
        self._positions = repeat(positions, "batch anchor -> batch (anchor sample)", sample=samples)

    def __exit__(self, *exception: object) -> None:
        # Weights rounded without gradient serve all steps, and none of the passes that follow.
        torch.clear_autocast_cache()

    def draw(
        self, distribution: TokenDistribution, uniforms: BatchAnchorSample
    ) -> tuple[BatchAnchorSample, BatchAnchorSample]:
        with torch.no_grad(), self._model._context():
            tokens, log_probs = draw_rows(
                self._model._head, self._states, distribution, uniforms.flatten()
            )
        return tokens.view(self._shape), log_probs.view(self._shape)

    def advance(self, tokens: BatchAnchorSample) -> None:
        flat = rearrange(tokens, "batch anchor sample -> batch (anchor sample)")
        with torch.no_grad():
            states = self._model._run(flat, self._positions, self._steps)
        self._states = states.flatten(0, 1)
        self._positions = self._positions + 1


class _Taps:
    """Forward hooks that keep the hidden states after some layers and stop at the deepest."""

    class _Reached(Exception):
        pass

    def __init__(self, body: nn.Module, count: int, layers: Sequence[int]) -> None:
        self._stack = next(
            module
            for module in body.modules()
            if isinstance(module, nn.ModuleList) and len(module) == count
        )
        self._count, self._wanted = count, set(layers)
        self._states: dict[int, Tensor] = {}
        self.last: Tensor | None = None

    def __enter__(self) -> _Taps:
        self._hooks = [
            self._stack[layer - 1].register_forward_hook(self._after(layer))
            for layer in self._wanted
            if 0 < layer < self._count
        ]
        if 0 in self._wanted:
            self._hooks.append(self._stack[0].register_forward_pre_hook(self._first))
        return self

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def __getitem__(self, layer: int) -> Tensor:
        if layer == self._count:
            assert self.last is not None
            return self.last
        return self._states[layer]

    @contextmanager
    def stopping(self) -> Iterator[None]:
        try:
            yield
        except _Taps._Reached:
            pass

    def _keep(self, layer: int, state: Tensor) -> None:
        self._states[layer] = state
        if layer == max(self._wanted):
            raise _Taps._Reached

    def _after(self, layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self._keep(layer, output[0] if isinstance(output, tuple) else output)

        return hook

    def _first(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._keep(0, inputs[0])


@contextmanager
def _without_gradient() -> Iterator[None]:
    """No gradient inside; weights that autocast rounded inside are not reused outside.

    Autocast keeps the rounded copy of a weight for the whole of its region. A copy made without
    gradient would silently cut the gradient of the passes that follow.
    """
    with torch.no_grad():
        try:
            yield
        finally:
            torch.clear_autocast_cache()


def _over(index: Tensor, states: Tensor) -> Tensor:
    return index.unsqueeze(-1).expand(-1, -1, states.shape[-1])


def _rows_of(mask: Tensor) -> Tensor:
    """Batch row of every true entry of ``mask`` (batch, ...)."""
    return mask.nonzero()[:, 0]


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _end_tokens(base: Any) -> tuple[int, ...]:
    generation = getattr(base, "generation_config", None)
    ends = getattr(generation, "eos_token_id", None)
    if ends is None:
        ends = base.config.eos_token_id
    return () if ends is None else (ends,) if isinstance(ends, int) else tuple(ends)


def _switch_off_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout", "activation_dropout", "layerdrop"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
