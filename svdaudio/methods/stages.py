"""The stages that methods are made of: a row each, with inputs, parameters, models, outputs and body.

`body` names the function that computes the stage. Raise `version` whenever the same inputs would give other outputs.
"""

from __future__ import annotations

from dataclasses import replace

from svdaudio.engine.stage import Stage

# fmt: off
IMAGE = Stage(
    name="image", inputs=("file",), outputs=("pixels",), body="svdaudio.tasks.picture.image:run",
    summary="decode the file and turn the picture upright, [H, W, 3] uint8")
MASK = Stage(
    name="mask", inputs=("pixels",), models=("segmenter",), outputs=("mask", "score", "logits"),
    parameters={"points": "remove"}, body="svdaudio.tasks.picture.mask:run", summary="segment by clicks, with SAM 2")
BOX_MASK = Stage(
    name="box_mask", inputs=("pixels",), models=("segmenter",), outputs=("mask", "score", "logits"),
    parameters={"box": "remove.object.box", "points": "remove.object.points"},
    body="svdaudio.tasks.picture.box_mask:run", summary="segment by a box and clicks, with SAM 2")
MASK_FILE = Stage(
    name="mask_file", inputs=("file", "pixels"), outputs=("mask",), body="svdaudio.tasks.picture.mask_file:run",
    summary="read the mask of an object from a file")
UNITE = Stage(
    name="unite", inputs=("masks",), outputs=("mask",), body="svdaudio.tasks.picture.unite:run",
    summary="unite the masks of several objects into one region")
TOKENS = Stage(
    name="tokens", version=2, inputs=("pixels",), models=("image_encoder",), outputs=("tokens", "embedding"),
    parameters={"geometry": "geometry"}, body="svdaudio.tasks.picture.tokens:run",
    summary="compute all 257 CLIP tokens and the image embedding")
EMBED_IMAGE = Stage(
    name="embed_image", inputs=("pixels",), models=("ciap_image_encoder",), outputs=("clap",),
    parameters={"geometry": "geometry"}, body="svdaudio.tasks.picture.embed_image:run",
    summary="embed a picture in CLAP's space with CIAP")
MAP_EMBEDDING = Stage(
    name="map_embedding", inputs=("embedding",), models=("mapper",), outputs=("clap",),
    body="svdaudio.tasks.picture.map_embedding:run", summary="map a CLIP embedding into CLAP's space with an MLP")
LOCALS = Stage(
    name="locals", inputs=("pixels",), models=("detector", "image_encoder"),
    outputs=("boxes", "scores", "classes", "embeddings"),
    parameters={"confidence": "locals.confidence", "iou": "locals.iou", "max_detections": "locals.max_detections",
                "top_k": "locals.top_k", "augment": "locals.augment"},
    body="svdaudio.tasks.picture.locals:run", summary="detect objects with YOLO and embed them with CLIP")
ALIGN = Stage(
    name="align", inputs=("mask",), outputs=("coverage", "grid"),
    parameters={"geometry": "geometry", "threshold": "align.threshold"},
    body="svdaudio.tasks.edit.align:run", summary="map a mask onto the 16 x 16 patches")
FACTORS = Stage(
    name="factors", inputs=("tokens", "grid"), outputs=("u", "s", "vh", "weights"),
    body="svdaudio.tasks.edit.factors:run", summary="factorise [CLS; the region's patches] by an SVD")
BACKGROUND = Stage(
    name="background", inputs=("tokens", "grid_removed", "grid_added"), outputs=("embedding",),
    body="svdaudio.tasks.edit.background:run", summary="average the patches in neither region, [1 or 0, 768]")
MIX = Stage(
    name="mix", version=2,
    inputs=("u_removed", "s_removed", "vh_removed", "weights_removed",
            "u_added", "s_added", "vh_added", "weights_added", "background", "direct"),
    outputs=("suppress", "boost", "embedding"),
    parameters={"k": "svd.k", "alpha": "svd.alpha", "beta": "svd.beta",
                "alpha_mix": "mix.alpha", "beta_mix": "mix.beta", "gamma_mix": "mix.gamma", "direct_mix": "mix.direct"},
    body="svdaudio.tasks.edit.mix:run", summary="suppress and boost the regions, and mix the global embedding")
BACKGROUND_OF_ONE = Stage(
    name="background_of_one", inputs=("tokens", "grid"), outputs=("embedding",),
    body="svdaudio.tasks.edit.background_of_one:run",
    summary="average the patches outside the only region, [1 or 0, 768]")
MIX_ONE = Stage(
    name="mix_one", inputs=("u", "s", "vh", "weights", "background", "direct"), outputs=("region", "embedding"),
    parameters={"k": "svd.k", "factor": "svd.alpha", "weight": "mix.alpha",
                "gamma_mix": "mix.gamma", "direct_mix": "mix.direct"},
    body="svdaudio.tasks.edit.mix_one:run", summary="suppress or boost the only region, and mix")
REACH = Stage(
    name="reach", inputs=("u", "s", "vh", "weights"), outputs=("share", "degrees"),
    parameters={"k": "svd.k", "factor": "svd.alpha"}, body="svdaudio.tasks.edit.reach:run",
    summary="measure how far the factor moves the region's embedding")
REMAINDER = Stage(
    name="remainder", inputs=("masks",), outputs=("mask",), parameters={"margin": "margin"},
    body="svdaudio.tasks.edit.remainder:run", summary="find the area that belongs to no object")
LEFTOVER = Stage(
    name="leftover", inputs=("mask", "added", "pixels"), outputs=("mask",), parameters={"margin": "margin"},
    body="svdaudio.tasks.edit.leftover:run", summary="find what the edited picture still shows of the removed region")
ERASE = Stage(
    name="erase", inputs=("pixels", "mask"), outputs=("pixels",), parameters={"margin": "margin"},
    body="svdaudio.tasks.edit.erase:run", summary="fill a region with the mean colour outside it")
EMBED = Stage(
    name="embed", inputs=("pixels",), models=("image_encoder",), outputs=("embedding",),
    body="svdaudio.tasks.picture.embed:run", summary="embed a picture with CLIP")
CROP = Stage(
    name="crop", inputs=("pixels", "mask"), models=("image_encoder",), outputs=("embedding", "embeddings"),
    body="svdaudio.tasks.picture.crop:run", summary="embed the box of one object with CLIP")
KEEP = Stage(
    name="keep", inputs=("boxes", "embeddings", "absent", "present"), outputs=("embeddings",),
    parameters={"margin": "margin"}, body="svdaudio.tasks.edit.keep:run",
    summary="keep the detected objects that are not absent")
DROP = Stage(
    name="drop", inputs=("embeddings",), outputs=("embeddings",), body="svdaudio.tasks.edit.drop:run",
    summary="drop all detected objects, [0, 768]")
FADE = Stage(
    name="fade", inputs=("claps",), outputs=("clap",), parameters={"gains": "gains"},
    body="svdaudio.tasks.edit.fade:run", summary="mix CLAP embeddings of the picture with and without objects")
BLEND = Stage(
    name="blend", inputs=("claps", "present"), outputs=("clap",), parameters={"gains": "gains"},
    body="svdaudio.tasks.edit.blend:run", summary="mix the objects' CLAP embeddings at their levels")
OVERLAY = Stage(
    name="overlay", inputs=("claps", "sources"), outputs=("clap",), parameters={"gains": "gains"},
    body="svdaudio.tasks.edit.overlay:run", summary="mix CLAP embeddings of a faded picture and of sources")
RECORDING = Stage(
    name="recording", inputs=("file",), outputs=("waveform",), parameters={"duration_s": "generate.duration_s"},
    body="svdaudio.tasks.sound.recording:run", summary="read a sound file and repeat or cut it, at 22 050 Hz")
LISTEN = Stage(
    name="listen", inputs=("waveform",), models=("audio_encoder",), outputs=("clap",),
    body="svdaudio.tasks.sound.listen:run", summary="embed a sound with CLAP")
DESCRIBE = Stage(
    name="describe", inputs=(), models=("text_encoder",), outputs=("clap",), parameters={"text": "without_text"},
    body="svdaudio.tasks.sound.describe:run", summary="embed a text with CLAP")
REMIX = Stage(
    name="remix", inputs=("embedding", "locals"), models=("ssv2a",), outputs=("clap",),
    parameters={"cycle_its": "remix.cycle_its", "cycle_samples": "remix.cycle_samples",
                "var_samples": "remix.var_samples", "seed": "seed"},
    body="svdaudio.tasks.synthesis.remix:run", summary="mix CLIP embeddings into one of CLAP by SSV2A's cycle_mix")
DIFFUSE = Stage(
    name="diffuse", inputs=("clap",), models=("diffuser",), outputs=("latents",),
    parameters={"scheduler": "generate.scheduler", "steps": "generate.steps",
                "guidance_scale": "generate.guidance_scale", "n_candidates": "generate.candidates",
                "duration_s": "generate.duration_s", "seed": "seed", "backend": "generate.backend",
                "precision": "generate.precision"},
    body="svdaudio.tasks.synthesis.diffuse:run", summary="generate latents by diffusion conditioned on CLAP")
DIFFUSE_EACH = replace(
    DIFFUSE, name="diffuse_each", body="svdaudio.tasks.synthesis.diffuse_each:run",
    summary="generate latents by diffusion conditioned on CLAP, each candidate from its own noise")
DIFFUSE_AWAY = replace(
    DIFFUSE, name="diffuse_away", inputs=("clap", "away"), body="svdaudio.tasks.synthesis.diffuse_away:run",
    summary="generate latents by diffusion conditioned on CLAP, away from a negative embedding")
DECODE = Stage(
    name="decode", inputs=("latents",), models=("autoencoder",), outputs=("mel",),
    parameters={"backend": "generate.backend"},
    body="svdaudio.tasks.synthesis.decode:run", summary="decode latents into log-mel spectrograms with the VAE")
VOCODE = Stage(
    name="vocode", inputs=("mel",), models=("vocoder",), outputs=("waveforms",),
    parameters={"backend": "generate.backend"},
    body="svdaudio.tasks.synthesis.vocode:run", summary="turn spectrograms into waveforms at 16 kHz with the vocoder")
CHOOSE = Stage(
    name="choose", inputs=("waveforms", "clap"), models=("audio_encoder",),
    outputs=("waveform", "similarity", "choice"), parameters={"duration_s": "generate.duration_s"},
    body="svdaudio.tasks.sound.choose:run", summary="choose the candidate nearest to the CLAP embedding, at 22 050 Hz")
HUSH = Stage(
    name="hush", inputs=("waveform", "embeddings"), outputs=("waveform",), body="svdaudio.tasks.sound.hush:run",
    summary="silence the sound if no object was detected that could make it")
GAIN = Stage(
    name="gain", inputs=("waveform",), outputs=("waveform",), parameters={"gain_db": "gains"},
    body="svdaudio.tasks.sound.gain:run", summary="apply the gain of a stem")
MASTER = Stage(
    name="master", inputs=("waveforms",), outputs=("gain_db",),
    parameters={"loudness_lufs": "master.loudness_lufs", "true_peak_db": "finish.true_peak_db"},
    body="svdaudio.tasks.sound.master:run", summary="compute the gain that brings the sum of the stems to a loudness")
LEVEL = Stage(
    name="level", inputs=("waveform", "gain_db"), outputs=("waveform",), body="svdaudio.tasks.sound.level:run",
    summary="apply the gain of the whole mix to a stem")
MIXDOWN = Stage(
    name="mixdown", inputs=("waveforms",), outputs=("waveform",), body="svdaudio.tasks.sound.mixdown:run",
    summary="add up the stems")
PICK = Stage(
    name="pick", inputs=("waveforms",), outputs=("waveform",),
    parameters={"number": "generate.pick", "duration_s": "generate.duration_s"},
    body="svdaudio.tasks.sound.pick:run", summary="take the candidate that the user picked, at 22 050 Hz")
FINISH = Stage(
    name="finish", inputs=("waveform",), outputs=("waveform", "loudness_lufs", "gain_db"),
    parameters={"loudness_lufs": "finish.loudness_lufs", "true_peak_db": "finish.true_peak_db"},
    body="svdaudio.tasks.sound.finish:run", summary="remove offset, fade ends, set loudness, limit peaks")
EMBED_SOUND = Stage(
    name="embed_sound", inputs=("file",), models=("sound_encoder",), outputs=("embedding",),
    parameters={"place": "place"}, body="svdaudio.tasks.sound.embed_sound:run",
    summary="embed a sound file in the space of a CLIP")
SCORES = Stage(
    name="scores", inputs=("waveform",), models=("tagger",), outputs=("scores",),
    body="svdaudio.tasks.sound.scores:run", summary="score the classes with the audio tagger")
SOUND_FILE = Stage(
    name="sound", inputs=("file",), outputs=("waveform", "rate_hz"), body="svdaudio.tasks.sound.sound:run",
    summary="read a sound file, [sample] at its own rate")
SPECTROGRAM = Stage(
    name="spectrogram", inputs=("waveform", "rate_hz"), outputs=("mel_image", "level_db"),
    parameters={"preset": "hear.preset", "place": "hear.place", "seed": "seed"},
    body="svdaudio.tasks.sound.spectrogram:run", summary="compute the sound encoder's spectrogram, [1, 128, 512]")
HEAR = Stage(
    name="hear", inputs=("mel_image",), models=("sound_encoder",), outputs=("embedding",),
    parameters={"preset": "hear.preset"}, body="svdaudio.tasks.sound.hear:run", summary="embed a sound in CLIP's space")
SAY = Stage(
    name="say", inputs=(), models=("guide",), outputs=("vectors",),
    parameters={"labels": "hear.labels", "template": "hear.template"},
    body="svdaudio.tasks.sound.say:run", summary="embed the labels in CLIP's space")
MATCH = Stage(
    name="match", inputs=("embedding", "vectors"), outputs=("scores", "cosines"), parameters={"scale": "hear.scale"},
    body="svdaudio.tasks.sound.match:run", summary="compare a sound with each label")
SEE = Stage(
    name="see", inputs=("pixels",), models=("guide",), outputs=("embedding",), body="svdaudio.tasks.picture.see:run",
    summary="embed a picture in CLIP's space")
# fmt: on

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        IMAGE, MASK, BOX_MASK, MASK_FILE, UNITE, TOKENS, EMBED, EMBED_IMAGE, MAP_EMBEDDING, CROP, LOCALS, ALIGN,
        FACTORS, BACKGROUND, MIX, REACH, BACKGROUND_OF_ONE, MIX_ONE, REMAINDER, LEFTOVER, ERASE, KEEP, DROP, FADE,
        BLEND, OVERLAY, RECORDING, LISTEN, DESCRIBE, REMIX, DIFFUSE, DIFFUSE_EACH, DIFFUSE_AWAY, DECODE, VOCODE,
        CHOOSE, PICK, HUSH, FINISH, GAIN, MASTER, LEVEL, MIXDOWN, SCORES, SOUND_FILE, SPECTROGRAM, HEAR, SAY, MATCH,
        SEE, EMBED_SOUND,
    )
}  # fmt: skip
"""Name → stage."""
