from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from ebmlm.errors import UserError
from ebmlm.models.convert import convert, rebuild, require_gguf
from ebmlm.models.load import load_pretrained
from ebmlm.models.tokeniser import split_digits

from .conftest import MERGES, tiny_model, tiny_vocabulary

TENSORS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    """A random Llama with tied embeddings in a GGUF file, some of it rounded to 4 bits."""
    gguf = pytest.importorskip("gguf")
    model = tiny_model()
    config, weights = model.config, model.state_dict()
    folder = tmp_path / "gguf"
    folder.mkdir()
    file = folder / "tiny.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    vocabulary = tiny_vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3] * 3 + [1] * (len(vocabulary) - 3))
    writer.add_token_merges([" ".join(pair) for pair in MERGES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"].numpy())
    kind = gguf.GGMLQuantizationType.Q4_1
    for layer in range(config.num_hidden_layers):
        for ours, theirs in TENSORS.items():
            values = weights[f"model.layers.{layer}.{ours}.weight"].numpy()
            name = f"blk.{layer}.{theirs}.weight"
            if ours.startswith("mlp"):
                writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
            else:
                writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_the_converted_model_has_exactly_the_same_logits(gguf_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "converted"
    state = torch.get_rng_state()
    convert(gguf_file, folder, split_digits)
    assert torch.equal(torch.get_rng_state(), state)

    direct = AutoModelForCausalLM.from_pretrained(
        gguf_file.parent, gguf_file=gguf_file.name, dtype=torch.float32
    )
    model, _ = load_pretrained(folder)
    ids = torch.arange(40).unsqueeze(0) + 3
    with torch.no_grad():
        expected, actual = direct(ids).logits, model(ids).logits
    assert torch.equal(actual, expected)
    assert (folder / "model.safetensors").is_file()
    assert not hasattr(model.config, "quantization_config")
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_the_converted_tokeniser_is_mended_and_otherwise_the_files(
    gguf_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "converted"
    convert(gguf_file, folder, split_digits)
    tokeniser = load_pretrained(folder)[1]
    raw = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    assert tokeniser.get_vocab() == raw.get_vocab()
    assert tokeniser.tokenize("ab  1") == ["ab", "ĠĠ", "1"]
    assert (tokeniser.bos_token_id, tokeniser.eos_token_id) == (1, 2)
    assert tokeniser.model_max_length == 64
    text = "def f(x):\n    return [ 12,\n\t 3]\n\n# é 日本 🎉 ½\r\n  ab"
    ids = tokeniser(text).input_ids
    assert tokeniser.decode(ids) == text
    assert ids[0] != tokeniser.bos_token_id
    assert tokeniser.decode(tokeniser("<start>a<end>").input_ids) == "<start>a<end>"


def test_rebuilding_drops_the_quantisation_and_nothing_else(tmp_path: Path) -> None:
    model = tiny_model()
    model.config.quantization_config = {"quant_method": "gguf"}
    model.generation_config.temperature = 0.5
    plain = rebuild(model)
    assert isinstance(plain, LlamaForCausalLM)
    assert not hasattr(plain.config, "quantization_config")
    assert hasattr(model.config, "quantization_config")
    assert plain.generation_config.temperature == 0.5
    assert not plain.training
    ids = torch.arange(20).unsqueeze(0)
    assert torch.equal(plain(ids).logits, model(ids).logits)
    plain.lm_head.weight.data.zero_()
    assert not plain.model.embed_tokens.weight.any()  # tied
    assert model.lm_head.weight.any()  # and a copy


def test_without_gguf_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("ebmlm.models.convert")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'ebmlm\[demo\]'"):
        require_gguf()
