"""The roles that a bundle fills, and the loader for each of their file formats."""

from __future__ import annotations

from collections.abc import Mapping

OWN_FORMAT = "svdaudio"

LOADERS: Mapping[str, Mapping[str, str]] = {
    "segmenter": {
        OWN_FORMAT: "svdaudio.models.sam2.segmenter:load_segmenter",
        "sam2": "svdaudio.models.sam2.published:load_segmenter",
    },
    "image_encoder": {
        OWN_FORMAT: "svdaudio.models.clip.encoder:load_image_encoder",
        "openai-clip": "svdaudio.models.clip.published:load_image_encoder",
    },
    "detector": {
        OWN_FORMAT: "svdaudio.models.yolo.detector:load_detector",
        "ultralytics": "svdaudio.models.yolo.published:load_detector",
    },
    "ssv2a": {
        OWN_FORMAT: "svdaudio.models.ssv2a:load_ssv2a",
        "ssv2a": "svdaudio.models.ssv2a.load:load_pair",
    },
    "diffuser": {
        OWN_FORMAT: "svdaudio.models.audioldm.diffuser:load_diffuser",
        "audioldm-ckpt": "svdaudio.models.audioldm.loaders:load_diffuser",
        "audioldm-diffusers": "svdaudio.models.audioldm.loaders:load_diffuser",
    },
    "autoencoder": {
        OWN_FORMAT: "svdaudio.models.audioldm.autoencoder:load_autoencoder",
        "audioldm-ckpt": "svdaudio.models.audioldm.loaders:load_autoencoder",
        "audioldm-diffusers": "svdaudio.models.audioldm.loaders:load_autoencoder",
    },
    "vocoder": {
        OWN_FORMAT: "svdaudio.models.audioldm.vocoder:load_vocoder",
        "audioldm-ckpt": "svdaudio.models.audioldm.loaders:load_vocoder",
        "audioldm-diffusers": "svdaudio.models.audioldm.loaders:load_vocoder",
    },
    "audio_encoder": {
        OWN_FORMAT: "svdaudio.models.mel_cnn.loaders:load_audio_encoder",
        "audioldm-ckpt": "svdaudio.models.audioldm.loaders:load_audio_encoder",
    },
    "text_encoder": {
        OWN_FORMAT: "svdaudio.models.mel_cnn.loaders:load_text_encoder",
        "audioldm-text": "svdaudio.models.audioldm.loaders:load_text_encoder",
    },
    "tagger": {
        OWN_FORMAT: "svdaudio.models.mel_cnn.loaders:load_tagger",
        "panns-cnn14": "svdaudio.models.taggers.cnn14:load_tagger",
        "transformers-ast": "svdaudio.models.taggers.spectrogram_transformer:load_tagger",
    },
    "judge": {
        OWN_FORMAT: "svdaudio.models.mel_cnn.loaders:load_tagger",
        "panns-cnn14": "svdaudio.models.taggers.cnn14:load_tagger",
        "transformers-ast": "svdaudio.models.taggers.spectrogram_transformer:load_tagger",
    },
    "domain": {OWN_FORMAT: "svdaudio.models.domain:load_domain"},
    "ciap_image_encoder": {
        OWN_FORMAT: "svdaudio.models.ciap.encoder:load_image_encoder",
        "ciap-resnet18": "svdaudio.models.ciap.published:load_image_encoder",
    },
    "mapper": {OWN_FORMAT: "svdaudio.models.mapper:load_mapper"},
    "sound_encoder": {
        OWN_FORMAT: "svdaudio.models.sound_clip.encoder:load_sound_encoder",
        "sgsim-resnet18": "svdaudio.models.sound_clip.published:load_sound_encoder",
    },
    "guide": {
        OWN_FORMAT: "svdaudio.models.clip.guide:load_guide",
        "openai-clip": "svdaudio.models.clip.published:load_guide",
    },
}
"""Role → format → the function that loads it: `load(path, device)` for this project's own format, and
`load(path, device, digest=…)` for published ones, which may keep a quick copy under the digest of the file."""

DOMAIN = "domain"
"""The role of the description of the pictures that the other models were trained on."""
JUDGE = "judge"
"""The role of a second tagger, which `svdaudio evaluate` uses in addition to the first; it scores no run."""
OPTIONAL_ROLES = (DOMAIN, "text_encoder", JUDGE, "ciap_image_encoder", "mapper", "sound_encoder", "guide")
"""Roles that a bundle need not fill."""
