"""An AudioLDM small enough for tests."""

from __future__ import annotations

import json

from svdaudio.models.audioldm.architecture import AUDIOLDM_S_FULL_V2, Architecture, vocoder_config

TINY = Architecture(
    unet={
        **AUDIOLDM_S_FULL_V2.unet, "block_out_channels": [32, 64], "cross_attention_dim": [32, 64],
        "attention_head_dim": [1, 2], "layers_per_block": 1, "norm_num_groups": 8,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    },
    autoencoder={
        **AUDIOLDM_S_FULL_V2.autoencoder, "block_out_channels": [8, 16, 16], "layers_per_block": 1,
        "norm_num_groups": 4,
    },
    vocoder=vocoder_config(32),
    text={
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30,
        "max_position_embeddings": 20,
    },
    audio={
        "patch_embeds_hidden_size": 8, "hidden_size": 64, "depths": [1, 1, 2, 1], "num_attention_heads": [1, 1, 2, 2],
    },
)  # fmt: skip


def write_tokenizer(folder):
    """Write RoBERTa's tokenizer, with a word for each of a few letters, to a new folder."""
    folder.mkdir()
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "\u0120", *"acdegost"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer"}))
    (folder / "special_tokens_map.json").write_text("{}")
