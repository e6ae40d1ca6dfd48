"""The published functions, and the whole pipeline on tiny networks against a session with a store."""

from __future__ import annotations

import logging
import subprocess
import sys
import wave
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import svdaudio
from svdaudio.errors import ConfigError, EmptyRegionError, InputError
from svdaudio.methods.stages import STAGES
from svdaudio.models.audioldm.autoencoder import build_autoencoder
from svdaudio.models.audioldm.diffuser import Diffuser
from svdaudio.models.audioldm.vocoder import build_vocoder
from svdaudio.models.clip.encoder import ImageEncoder, build_image_encoder, normalise_pixels
from svdaudio.models.sam2.segmenter import Mask, check_points
from svdaudio.models.ssv2a import SSV2A, Config
from svdaudio.models.yolo.detector import Detector, build_detector
from svdaudio.session import Session
from svdaudio.svd.geometry import Geometry
from svdaudio.svd.images import load_image
from svdaudio.svd.masks import mask_bytes

HEIGHT, WIDTH = 96, 128
SILENT = "the sound is silent (below -70 LUFS): its loudness is unchanged"
"""What the tiny networks make is too quiet to be heard."""
SETTINGS = {
    "generate.steps": 2,
    "generate.candidates": 2,
    "generate.duration_s": 2.5,
    "locals.confidence": 0.0,
    "locals.iou": 0.9,
    "locals.top_k": 3,
    "remix.cycle_its": 1,
    "remix.cycle_samples": 2,
    "remix.var_samples": 2,
}


class SquareSegmenter:
    """Masks a square around the first click."""

    def segment(self, pixels, points, labels):
        check_points(points, labels, *pixels.shape[:2])
        x, y = (int(v) for v in points[0])
        mask = np.zeros(pixels.shape[:2], bool)
        mask[max(0, y - 20) : y + 20, max(0, x - 20) : x + 20] = True
        return Mask(mask=mask, score=0.9, logits=np.zeros((4, 4), np.float32))

    def segment_box(self, pixels, box, points, labels):
        return self.segment(pixels, np.array([box[:2]]), np.array([1]))


class ProjectionModel:
    """Embeds and scores sound by fixed random projections of its beginning."""

    def __init__(self, n_out):
        self.weights = torch.randn(1000, n_out, generator=torch.Generator().manual_seed(n_out))

    def embed(self, waveforms, sample_rate_hz):
        return torch.nn.functional.normalize(waveforms[:, :1000] @ self.weights, dim=-1)

    def scores(self, waveforms, sample_rate_hz):
        return torch.sigmoid(waveforms[:, :1000] @ self.weights)


@dataclass
class TinyModels:
    """One tiny network for each role, in the shape of `svdaudio.checkpoints.models.Models`."""

    models: dict[str, Any]
    bundle: Any = field(
        default_factory=lambda: SimpleNamespace(
            name="tiny",
            settings={"svd.k": 3},
            classes=lambda _: ("cat", "dog", "duck"),
            digests=lambda role: role,
            check_domain=lambda: None,
        )
    )

    def __getitem__(self, role):
        return self.models[role]


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    narrow = {"layers": [32, 32, 48], "dropout": 0.0}
    ssv2a = {
        "manifold_dim": 32,
        "manifold": narrow,
        "generator": narrow,
        "remixer": {"styler": {"embed_dim": 32, "nhead": 4}},
    }
    unet = {
        "in_channels": 8,
        "out_channels": 8,
        "block_out_channels": [16, 16, 16, 16],
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ["DownBlock2D"] * 4,
        "up_block_types": ["UpBlock2D"] * 4,
        "mid_block_type": "UNetMidBlock2D",
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 512,
        "class_embeddings_concat": True,
    }
    vae = {
        "in_channels": 1,
        "out_channels": 1,
        "down_block_types": ["DownEncoderBlock2D"] * 3,
        "up_block_types": ["UpDecoderBlock2D"] * 3,
        "block_out_channels": [8, 8, 8],
        "layers_per_block": 1,
        "latent_channels": 8,
        "norm_num_groups": 4,
        "mid_block_add_attention": False,
        "scaling_factor": 1.0,
    }
    vocoder = {
        "model_in_dim": 64,
        "sampling_rate": 16000,
        "upsample_initial_channel": 32,
        "upsample_rates": [5, 4, 2, 2, 2],
        "upsample_kernel_sizes": [16, 16, 8, 4, 4],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1]],
        "normalize_before": False,
    }
    return TinyModels(
        {
            "segmenter": SquareSegmenter(),
            "image_encoder": ImageEncoder(build_image_encoder({"width": 32, "layers": 1, "heads": 2})),
            "detector": Detector(
                build_detector({"scale": "n", "n_classes": 3}), image_size_px=64, names=("cat", "dog", "duck")
            ),
            "ssv2a": SSV2A(Config.from_dict(ssv2a)).eval(),
            "diffuser": Diffuser(unet).eval(),
            "autoencoder": build_autoencoder(vae).eval(),
            "vocoder": build_vocoder(vocoder).eval(),
            "audio_encoder": ProjectionModel(512),
            "tagger": ProjectionModel(3),
        }
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    before = random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    after = before.copy()
    after[:, 70:] = random.integers(0, 256, after[:, 70:].shape, np.uint8)
    for name, pixels in (("original", before), ("edited", after)):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in ("original", "edited")}


def test_every_published_name_exists():
    for name in svdaudio.__all__:
        assert callable(getattr(svdaudio, name))
    assert set(svdaudio.__all__) <= set(dir(svdaudio))
    with pytest.raises(AttributeError, match="no attribute 'get_masks'"):
        svdaudio.get_masks  # noqa: B018


def test_importing_the_package_is_light():
    code = "import sys, svdaudio; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'prefect', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_get_mask_takes_one_click_or_several(models, pictures):
    one = svdaudio.get_mask(pictures["original"], 40, 50, 1, bundle=models)
    assert one.shape == (HEIGHT, WIDTH)
    assert one[50, 40]
    several = svdaudio.get_mask(str(pictures["original"]), [40, 90], [50, 60], [1, 0], bundle=models)
    assert np.array_equal(one, several)
    with pytest.raises(InputError, match="as many x as y"):
        svdaudio.get_mask(pictures["original"], [1, 2], [3], bundle=models)
    with pytest.raises(InputError, match="outside the"):
        svdaudio.get_mask(pictures["original"], WIDTH, 3, bundle=models)


def test_tokens_of_paths_arrays_tensors_and_pillow_images_are_equal(models, pictures):
    path = pictures["original"]
    pixels = load_image(path)
    expected = models["image_encoder"].tokens(pixels, Geometry.SQUASH).tokens[None]
    for images in (path, [str(path)], pixels, pixels[None], [pixels], torch.from_numpy(pixels), Image.open(path)):
        found = svdaudio.extract_full_clip_tokens(images, 2, bundle=models)
        assert isinstance(found, torch.Tensor) == isinstance(images, torch.Tensor)
        assert found.shape == (1, 257, 768)
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6)


def test_tokens_of_prepared_tensors(models):
    squares = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8)
    found = svdaudio.extract_full_clip_tokens(normalise_pixels(torch.from_numpy(squares)), 2, bundle=models)
    expected = svdaudio.extract_full_clip_tokens(squares, 2, bundle=models)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_a_pillow_image_is_treated_like_its_file(models, pictures, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    colours = load_image(pictures["original"])
    clear = np.dstack([colours, np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))])
    for name, pixels in (("turned.jpg", colours), ("turned.png", clear)):
        path = tmp_path / name
        Image.fromarray(pixels).save(path, exif=exif)
        wanted = svdaudio.extract_full_clip_tokens(path, bundle=models)
        assert np.array_equal(svdaudio.extract_full_clip_tokens(Image.open(path), bundle=models), wanted)
        assert np.array_equal(svdaudio.extract_full_clip_tokens([Image.open(path)], bundle=models), wanted)
        for given in (path, Image.open(path), load_image(path)):
            mask = svdaudio.get_mask(given, 5, 5, bundle=models)
            assert mask.shape == (WIDTH, HEIGHT)
            assert np.array_equal(svdaudio.visualize_mask(given, mask), svdaudio.visualize_mask(path, mask))


def test_a_mask_that_misses_a_click_is_reported(models, pictures, caplog):
    class Careless(SquareSegmenter):
        def segment(self, pixels, points, labels):
            return replace(super().segment(pixels, points, labels), missed=((1.0, 2.0),))

    with caplog.at_level(logging.WARNING):
        svdaudio.get_mask(pictures["original"], 5, 5, bundle=replace(models, models={"segmenter": Careless()}))
    assert "the mask does not cover the click at (1, 2)" in caplog.text


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -3.0, 255.0])
def test_a_mask_with_other_values_is_refused(pictures, wrong):
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[:20] = wrong
    for given in (mask, torch.from_numpy(mask)):
        with pytest.raises(InputError, match="the mask holds numbers"):
            svdaudio.downsample_mask_to_patch_weights(given)
        with pytest.raises(InputError, match="the mask holds numbers"):
            svdaudio.visualize_mask(pictures["original"], given)


def test_non_finite_embeddings_and_tensors_are_refused(models):
    one, wrong = np.eye(768, dtype=np.float32)[0], np.full(768, np.nan, np.float32)
    for parts in ((wrong, one, one), (one, wrong, one), (one, one, wrong)):
        with pytest.raises(InputError, match="not finite"):
            svdaudio.combine_manipulated_embeddings(*parts, 1, 1, 1)
    with pytest.raises(InputError, match="not finite"):
        svdaudio.extract_full_clip_tokens(torch.full((1, 3, 224, 224), float("nan")), bundle=models)


@pytest.mark.parametrize(
    "images",
    [
        [],
        b"bytes",
        [5],
        None,
        np.zeros((4, 4)),
        np.zeros((8, 8, 3)),
        torch.zeros(1, 3, 100, 100),
        np.zeros((8, 8, 4), np.uint8),
    ],
)
def test_invalid_pictures_are_refused(models, images):
    with pytest.raises(InputError):
        svdaudio.extract_full_clip_tokens(images, bundle=models)


def test_patch_weights_keep_their_array_type_and_batch():
    mask = np.zeros((32, 32), bool)
    mask[:, 16:] = True
    half = np.tile(np.arange(16) >= 8, 16).astype(np.float32)
    assert np.array_equal(svdaudio.downsample_mask_to_patch_weights(mask), half[None])
    tensor = svdaudio.downsample_mask_to_patch_weights(torch.from_numpy(mask)[None, None].repeat(2, 1, 1, 1))
    assert isinstance(tensor, torch.Tensor)
    assert np.array_equal(tensor.numpy(), np.stack([half, half]))
    assert svdaudio.downsample_mask_to_patch_weights(mask, patch_grid_size=7).shape == (1, 49)
    with pytest.raises(InputError, match="wrong shape"):
        svdaudio.downsample_mask_to_patch_weights(np.zeros((2, 3, 4, 5)))
    with pytest.raises(ConfigError, match="threshold"):
        svdaudio.downsample_mask_to_patch_weights(mask, threshold=float("nan"))


def test_a_batch_of_one_stays_a_batch():
    tokens = np.random.default_rng(0).standard_normal((1, 257, 768)).astype(np.float32)
    weights = (np.arange(256) < 9).astype(np.float32)[None]
    one = svdaudio.svd_manipulate_embeddings(tokens[:, 0], tokens[:, 1:], weights)
    assert np.array_equal(one, svdaudio.svd_manipulate_embeddings(tokens[0, 0], tokens[0, 1:], weights[0]))


def test_an_empty_region_never_becomes_a_vector():
    tokens = np.ones((257, 768), np.float32)
    with pytest.raises(EmptyRegionError):
        svdaudio.svd_manipulate_embeddings(tokens[0], tokens[1:], np.zeros(256))


def test_a_missing_background_drops_out_of_the_mix():
    suppress, boost = torch.eye(768)[:2]
    found = svdaudio.combine_manipulated_embeddings(suppress, boost, None, 0.6, 0.8, 0.5)
    torch.testing.assert_close(found, 0.6 * suppress + 0.8 * boost)


def test_a_missing_region_drops_out_of_the_mix():
    one, other = torch.eye(768)[:2]
    found = svdaudio.combine_manipulated_embeddings(one, None, None, 0.6, 0.1, 0.5, other, 0.8)
    torch.testing.assert_close(found, 0.6 * one + 0.8 * other)
    with pytest.raises(InputError, match="no embedding given to mix"):
        svdaudio.combine_manipulated_embeddings(None, None, None, 0.6, 0.1, 0.5)


def test_regions_in_every_form(models, pictures, tmp_path):
    common = {"bundle": models, "settings": SETTINGS}
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:70, 20:90] = True
    (tmp_path / "cat.png").write_bytes(mask_bytes(mask, ".png"))
    by_array = svdaudio.main_pipeline(*pictures.values(), remove=mask, **common)
    assert list(by_array.masks) == ["removed"]
    for prompt in (torch.from_numpy(mask).float(), tmp_path / "cat.png", f"cat={tmp_path / 'cat.png'}"):
        edit = svdaudio.main_pipeline(*pictures.values(), remove=prompt, **common)
        assert np.array_equal(edit.masks["removed"], mask)
        assert np.array_equal(edit.embedding, by_array.embedding)
    several = svdaudio.main_pipeline(
        *pictures.values(), add={"cat": tmp_path / "cat.png", "dog": (90, 80), "owl": "5,5,40,40"}, **common
    )
    assert list(several.masks) == ["added"]
    assert several.masks["added"][mask].all()
    with pytest.raises(InputError, match="no region given to remove or add"):
        svdaudio.main_pipeline(*pictures.values(), **common)
    with pytest.raises(InputError, match="the mask of the region has a different size than its picture"):
        svdaudio.main_pipeline(*pictures.values(), add=mask[:50], **common)
    with pytest.raises(InputError, match="the mask of the region is empty"):
        svdaudio.main_pipeline(*pictures.values(), add=mask & False, **common)


def test_a_mask_is_visualised(pictures, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:10] = True
    pixels = load_image(pictures["original"])
    overlay = svdaudio.visualize_mask(pictures["original"], torch.from_numpy(mask), tmp_path / "new" / "mask.png")
    assert np.array_equal(overlay[10:], pixels[10:])
    assert (overlay[:10] != pixels[:10]).any()
    assert np.array_equal(load_image(tmp_path / "new" / "mask.png"), overlay)
    with pytest.raises(InputError, match="a different size"):
        svdaudio.visualize_mask(pictures["original"], mask[1:])


def through_a_store(models, pictures, store, settings):
    """A run of the published method by a session and its arrays: every node computed separately and stored."""
    session = Session(store, open_bundle=lambda name: models.bundle, open_models=lambda bundle, config: models)
    request = session.request("manipulate", pictures, {**settings, "bundle": "tiny"})
    result = session.run(request, pictures=False)
    assert {entry.status for entry in result.run.stages} == {"computed"}
    arrays = session.arrays(result.run)
    for node in request.nodes:
        assert set(arrays[node.name]) == set(node.stage.outputs)
    return result, arrays


@pytest.mark.parametrize("geometry", ["squash", "crop"])
def test_the_functions_agree_with_a_session_that_uses_a_store(models, pictures, tmp_path, geometry):
    settings = {**SETTINGS, "geometry": geometry}
    edit = svdaudio.main_pipeline(
        pictures["original"],
        pictures["edited"],
        remove=(40, 50),
        add=[(80, 40, 1), (5, 5, 0)],
        output_dir=tmp_path / "out",
        bundle=models,
        settings=settings,
    )
    given = {**settings, "remove": [[40, 50, 1]], "add": [[80, 40, 1], [5, 5, 0]]}
    result, made = through_a_store(models, pictures, tmp_path / "store", given)
    assert result.run.config["svd"]["k"] == 3
    assert {note for entry in result.run.stages for note in entry.notes} == {SILENT}
    assert edit.remarks == (SILENT,)
    assert np.array_equal(edit.masks["removed"], made["removed.mask"]["mask"])
    assert np.array_equal(edit.masks["added"], made["added.mask"]["mask"])
    assert np.array_equal(edit.embedding, made["mix"]["embedding"])
    for name in ("original", "edited", "manipulated"):
        assert np.array_equal(edit.sounds[name].waveform, made[f"{name}.finish"]["waveform"])
        np.testing.assert_allclose(list(edit.sounds[name].scores.values()), made[f"{name}.scores"]["scores"], rtol=1e-6)
        with wave.open(str(tmp_path / "out" / f"{name}.wav")) as file:
            assert (file.getframerate(), file.getnframes()) == (22_050, 55_125)
        assert (tmp_path / "out" / f"{name}.wav").read_bytes() == result.audio[name].read_bytes()
        assert result.scores[name] == {one: round(score, 6) for one, score in edit.sounds[name].scores.items()}
    assert not np.array_equal(edit.sounds["edited"].waveform, edit.sounds["manipulated"].waveform)
    assert load_image(tmp_path / "out" / "added.mask.png").shape == (HEIGHT, WIDTH, 3)
    if geometry == "squash":
        baseline = svdaudio.generate_baseline_audio(
            pictures["edited"], tmp_path / "baseline.wav", bundle=models, settings=settings
        )
        assert np.array_equal(baseline, edit.sounds["edited"].waveform)
        assert (tmp_path / "baseline.wav").is_file()
        manipulated = svdaudio.manipulated_image_to_audio(
            pictures["edited"], torch.from_numpy(edit.embedding), bundle=models, settings=settings
        )
        assert np.array_equal(manipulated, edit.sounds["manipulated"].waveform)


def test_the_seed_reaches_the_sound(models, pictures):
    first, second = (
        svdaudio.generate_baseline_audio(pictures["edited"], bundle=models, settings={**SETTINGS, "seed": seed})
        for seed in (1, 2)
    )
    assert not np.array_equal(first, second)


def test_notes_report_unusual_conditions(models):
    everything = np.ones(256, bool)
    tokens = np.random.default_rng(0).standard_normal((257, 768)).astype(np.float32)
    notes: list[str] = []

    def call(stage, **arguments):
        return STAGES[stage].load_body()(**arguments, note=notes.append)

    background = call("background", tokens=tokens, grid_removed=everything, grid_added=everything)["embedding"]
    assert background.shape == (0, 768)
    assert "no background" in notes[-1]
    factors = STAGES["factors"].load_body()(tokens=tokens, grid=everything)
    inputs = {f"{f}_{r}": factors[f] for f in ("u", "s", "vh", "weights") for r in ("removed", "added")}
    weights = {"alpha_mix": 0.1, "beta_mix": 0.4, "gamma_mix": 0.1, "direct_mix": 0.4}
    call("mix", **inputs, **weights, background=background, direct=tokens[0], k=5, alpha=0.3, beta=1.5)
    assert "E_bg dropped" in notes[-1]
    settings = {"confidence": 1.0, "iou": 0.0, "max_detections": 5, "top_k": 5, "augment": False}
    both = {role: models[role] for role in ("detector", "image_encoder")}
    call("locals", pixels=np.zeros((64, 64, 3), np.uint8), **settings, **both)
    assert "no object found" in notes[-1]


def test_notes_of_an_edit_are_those_of_its_stages(models, pictures):
    edit = svdaudio.main_pipeline(
        *pictures.values(), (40, 50), (80, 40), bundle=models, settings={**SETTINGS, "locals.confidence": 1.0}
    )
    assert edit.remarks == ("no object found: the sound comes from the whole picture alone", SILENT)


def test_unknown_settings_and_wrong_embeddings_are_refused(models, pictures):
    clicks = ((40, 50), (80, 40))
    with pytest.raises(ConfigError, match=r"Perhaps you mean 'svd\.k'"):
        svdaudio.main_pipeline(*pictures.values(), *clicks, bundle=models, settings={"svd.kk": 3})
    with pytest.raises(ConfigError, match=r"Perhaps you mean 'generate\.steps'"):
        svdaudio.generate_baseline_audio(pictures["edited"], bundle=models, settings={"generate.step": 3})
    with pytest.raises(ConfigError, match=r"'execution\.device' has no effect on a function\. Give device="):
        svdaudio.generate_baseline_audio(pictures["edited"], bundle=models, settings={"execution.device": "cpu"})
    with pytest.raises(ConfigError, match=r"unknown parameter 'svd\.k' \(from settings\)"):
        svdaudio.generate_baseline_audio(pictures["edited"], bundle=models, settings={"svd.k": 3})
    with pytest.raises(InputError, match="wrong shape"):
        svdaudio.manipulated_image_to_audio(pictures["edited"], np.ones(5), bundle=models, settings=SETTINGS)
    with pytest.raises(InputError, match="outside the"):
        svdaudio.main_pipeline(*pictures.values(), (WIDTH, 3), (3, 3), bundle=models, settings=SETTINGS)
