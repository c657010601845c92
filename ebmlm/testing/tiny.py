"""A transformer and a text encoder small enough for the laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ebmlm.encoders import TransformersEncoder
    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["tiny_encoder", "tiny_transformer"]


def tiny_transformer(
    architecture: str = "llama",
    vocabulary: int = 3,
    end_tokens: tuple[int, ...] = (),
    seed: int = 0,
    **options: Any,
) -> TransformersLanguageModel:
    """Make a transformer of two layers and sixteen features from a configuration, in float64.

    Its weights are random and large enough for logits to differ. Nothing is fetched.

    Args:
        architecture: a model type of transformers.
        vocabulary: tokens.
        end_tokens: ids that end a completion.
        seed: of the weights; torch's own generator is left as it was.
        options: of the configuration, in its own names.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    from ebmlm.transformers_model import TransformersLanguageModel

    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    config = AutoConfig.for_model(architecture, **(sizes | options))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3).add_(0.05 * torch.randn_like(parameter))
    return TransformersLanguageModel(model.double().eval(), end_tokens)


def tiny_encoder(letters: str = "012", seed: int = 0, **options: Any) -> TransformersEncoder:
    """Make a BERT of two layers and sixteen features that reads single letters, in float64.

    Args:
        letters: that it knows; others are one and the same to it.
        seed: of the weights; torch's own generator is left as it was.
        options: of :class:`~ebmlm.encoders.TransformersEncoder`.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from ebmlm.encoders import TransformersEncoder

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters]
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokeniser = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=24
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=24,
            initializer_range=0.5,
        )
        model = BertModel(config, add_pooling_layer=False).double()
    return TransformersEncoder(model, tokeniser, **options)
