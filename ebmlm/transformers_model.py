"""Causal language models of transformers, full or PEFT-wrapped, as distributions over sequences."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ebmlm.adapted import adapters_off, check_unmerged, has_float_buffers, is_adapted
from ebmlm.attention import TreeAttention, TreePass, TrunkPass, attending, install
from ebmlm.branch_steps import BranchSteps
from ebmlm.distribution import Categorical
from ebmlm.dropout import switch_off_dropout
from ebmlm.errors import UserError
from ebmlm.heads import score_rows
from ebmlm.language_model import Decoder, LanguageModel, Scoring, TreeStates
from ebmlm.layout import Prefixes, PrefixTree, Trunk
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.rounding import Rounded, rounded
from ebmlm.taps import Taps
from ebmlm.tree_decoder import TreeDecoder
from ebmlm.typing import BatchAnchor, BatchPosition

__all__ = ["TransformersLanguageModel"]


class TransformersLanguageModel(LanguageModel):
    """Any causal language model of transformers whose attention can take the prefix tree.

    The model is used in place: training it trains what was passed in. Its dropout is set to zero,
    since a rollout's log-probability must be that of the distribution it was drawn from. Numerical
    precision is the caller's: inside ``torch.autocast`` passes round the weights once and compute
    in its type (:mod:`ebmlm.rounding`), over whatever type the weights have.

    Args:
        model: a ``...ForCausalLM``, or a PEFT model around one.
        end_tokens: ids that end a completion; by default those of its generation configuration.
        tree_attention: how layers attend over trunk and branches; in chunks of anchors, or
            :class:`~ebmlm.flex.FlexTreePass`.

    Attributes:
        body: the model without its head, for what looks inside (benchmarks, other heads).
        head: from the states that the body returns to logits.

    Raises:
        UserError: (a ValueError) naming the model type and the reason, where the architecture
            cannot take the tree mask: sliding windows, recurrent state, attention of its own. For
            adapters that are merged into their base.
    """

    def __init__(
        self,
        model: Any,
        end_tokens: Sequence[int] | None = None,
        tree_attention: Callable[[PrefixTree], TreeAttention] = TreePass,
    ) -> None:
        from ebmlm.compatibility import check_tree_attention, check_windows

        base = _base(model)
        check_windows(base.config)
        check_unmerged(model)
        self.model = model
        self._context: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._trainable = True
        self._last_frozen: tuple[Any, weakref.ref[TransformersLanguageModel]] | None = None
        self._tree_attention = tree_attention
        self.body, self.head = base.base_model, base.get_output_embeddings()
        config = base.config.get_text_config()
        self.layer_count = config.num_hidden_layers
        self.hidden_size = config.hidden_size
        self.vocabulary_size = config.vocab_size
        self._longest = getattr(config, "max_position_embeddings", None)
        self.end_tokens = tuple(_end_tokens(base) if end_tokens is None else end_tokens)
        switch_off_dropout(model)
        self._roundable = not (is_adapted(model) and has_float_buffers(model))
        check_tree_attention(self, lambda: install(base))

    @property
    def module(self) -> nn.Module:
        """See :attr:`LanguageModel.module`."""
        module: nn.Module = self.model
        return module

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
        self.check_length(int(prefixes.positions().max()) + horizon)
        with torch.no_grad(), self._passing():
            modules = self._modules()
            attention = TrunkPass(trunk := Trunk.of(batch), keep=True)
            states = self._run(modules, trunk.tokens, trunk.positions, attention)
        assert attention.kept is not None
        steps = BranchSteps(attention.kept, prefixes, samples, horizon)
        parents = states.gather(1, _over(prefixes.parents(), states))

        def step(tokens: Tensor, positions: Tensor) -> Tensor:
            with self._passing():
                return self._run(modules, tokens, positions, steps)

        def logits(rows: Tensor) -> Tensor:
            with self._passing():
                found: Tensor = modules(self.head)(rows)
            return found

        return TreeDecoder(
            step,
            logits,
            steps,
            parents,
            prefixes.positions(),
            samples,
        )

    def score(self, rollouts: Rollouts, *, sequences: bool = False) -> Scoring:
        """See :meth:`LanguageModel.score`; one forward pass over trunk and branches."""
        tree = PrefixTree.of(rollouts)
        self.check_length(int(tree.positions.max()) + 1)
        with self._passing():
            modules = self._modules()
            states = self._run(modules, tree.tokens, tree.positions, self._tree_attention(tree))
            mask = rollouts.token_mask()
            row = mask.nonzero()[:, 0]
            with self._context():
                scored = score_rows(
                    modules(self.head),
                    states[row, tree.parents[mask]],
                    rollouts.completions[mask],
                    rollouts.distribution,
                )
            completions = scored.new_zeros(mask.shape).masked_scatter(mask, scored)
            if not sequences:
                return Scoring(completions)
            trunk = states[:, : tree.trunk_length]
            return Scoring(completions, self._score_trunk(modules, trunk, rollouts.batch))

    def score_sequences(self, batch: SequenceBatch) -> BatchPosition:
        """See :meth:`LanguageModel.score_sequences`."""
        trunk = Trunk.of(batch)
        self.check_length(int(trunk.positions.max()) + 1)
        with self._passing():
            modules = self._modules()
            states = self._run(modules, trunk.tokens, trunk.positions, TrunkPass(trunk))
            return self._score_trunk(modules, states, batch)

    def hidden_states(self, rollouts: Rollouts, layers: Sequence[int]) -> TreeStates:
        """See :meth:`LanguageModel.hidden_states`; layers after the deepest one are not run.

        Raises:
            ValueError: if a layer is not in 0..layer_count.
        """
        for layer in layers:
            if not 0 <= layer <= self.layer_count:
                raise ValueError(f"layer {layer}: this model has layers 0 to {self.layer_count}")
        tree = PrefixTree.of(rollouts)
        self.check_length(int(tree.positions.max()) + 1)
        with self._passing(), Taps(self.body, self.layer_count, layers) as taps:
            with taps.stopping():
                attention = self._tree_attention(tree)
                taps.last = self._run(self._modules(), tree.tokens, tree.positions, attention)
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

    def frozen(self) -> TransformersLanguageModel:
        """See :meth:`LanguageModel.frozen`.

        Inside ``torch.autocast`` a copy is kept in that region's type: half the memory, and what
        the passes would round the weights to anyway. As long as somebody holds the copy and no
        weight has changed, the same one is returned: an objective and an evaluation share it.
        """
        if not self._trainable:
            return self
        rounded_to = (
            torch.get_autocast_dtype(self.device.type)
            if torch.is_autocast_enabled(self.device.type)
            else None
        )
        state = (rounded_to, [(p.data_ptr(), p._version) for p in self.model.parameters()])
        last = None if self._last_frozen is None else self._last_frozen[1]()
        if self._last_frozen is not None and last is not None and self._last_frozen[0] == state:
            return last
        view = copy.copy(self)
        view._trainable = False
        self._last_frozen = (state, weakref.ref(view))
        if is_adapted(self.model):
            view._context = partial(adapters_off, self.model)
            return view
        view.model = copy.deepcopy(self.model).requires_grad_(False).eval()
        if rounded_to is not None:
            # Weights alone, as in a pass: rounded rotary frequencies would turn late positions.
            for parameter in view.model.parameters():
                if parameter.is_floating_point():
                    parameter.data = parameter.data.to(rounded_to)
        view.body, view.head = view.model.base_model, view.model.get_output_embeddings()
        return view

    @contextmanager
    def _passing(self) -> Iterator[None]:
        """Around body and head of every pass: adapters off and no gradient where we are frozen."""
        with self._context(), nullcontext() if self._trainable else torch.no_grad():
            yield

    def _modules(self) -> Rounded:
        """Body and head as the passes of one purpose call them."""
        whole = self._roundable and not any(
            getattr(module, "gradient_checkpointing", False) for module in self.body.modules()
        )
        if not whole and torch.is_grad_enabled():
            # Autocast keeps weights that it rounded for the whole of its region; those rounded
            # without gradient would silently cut the gradient of this pass.
            torch.clear_autocast_cache()
        return rounded((self.body, self.head), self.device.type, whole)

    def _run(
        self, modules: Rounded, tokens: Tensor, positions: Tensor, attention: TreeAttention
    ) -> Tensor:
        """Return the states (batch, node, feature) that the head reads."""
        with attending(attention):
            output = modules(self.body)(input_ids=tokens, position_ids=positions, use_cache=False)
        states: Tensor = output.last_hidden_state
        return states

    def _score_trunk(self, modules: Rounded, states: Tensor, batch: SequenceBatch) -> Tensor:
        mask = batch.target_mask()
        predicting = states[:, :-1][mask[:, 1:]]
        targets = batch.sequences[mask]
        with self._context():
            scored = score_rows(modules(self.head), predicting, targets, Categorical())
        return scored.new_zeros(mask.shape).masked_scatter(mask, scored)

    def check_length(self, length: int) -> None:
        """Refuse sequences that are longer than the model's longest position, in tokens.

        Raises:
            UserError: naming both.
        """
        if self._longest is not None and length > self._longest:
            raise UserError(
                f"{length} positions asked for: this model has {self._longest}"
                " (max_position_embeddings); use shorter sequences or a shorter horizon"
            )


def _over(index: Tensor, states: Tensor) -> Tensor:
    return index.unsqueeze(-1).expand(-1, -1, states.shape[-1])


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _end_tokens(base: Any) -> tuple[int, ...]:
    generation = getattr(base, "generation_config", None)
    ends = getattr(generation, "eos_token_id", None)
    if ends is None:
        ends = base.config.eos_token_id
    return () if ends is None else (ends,) if isinstance(ends, int) else tuple(ends)
