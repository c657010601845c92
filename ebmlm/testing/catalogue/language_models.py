"""Language models, each by a tiny one."""

from __future__ import annotations

from functools import partial

from ebmlm.testing import bugs, checks, laws
from ebmlm.testing.catalogue.kind import Kind
from ebmlm.testing.catalogue.parts import (
    tiny_table,
)
from ebmlm.testing.tiny import tiny_transformer

__all__ = ["LANGUAGE_MODELS"]


LANGUAGE_MODELS = Kind(
    "language models",
    laws.LANGUAGE_MODEL_LAWS,
    checks.check_language_model,
    {
        "Tabular": tiny_table,
        "Tabular, ends": partial(tiny_table, (1,)),
        "Transformers, Llama": partial(tiny_transformer, end_tokens=(2,), num_key_value_heads=2),
        "Transformers, GPT-NeoX": partial(tiny_transformer, "gpt_neox"),
        "Transformers, OPT": partial(
            tiny_transformer, "opt", ffn_dim=24, word_embed_proj_dim=16, pad_token_id=0
        ),
    },
    bugs.LANGUAGE_MODEL_BUGS,
)
