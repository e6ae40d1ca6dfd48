import numpy as np
import pytest

from svdaudio.pretraining.ciap import random_crop
from svdaudio.pretraining.spec_augment import mask_spectrogram
from svdaudio.pretraining.text_augment import variant

SYNONYMS = {"dog": ["hound", "puppy"], "loud": ["noisy"]}


def test_spans_of_time_and_frequency_are_masked():
    whole = np.ones((1, 128, 512), np.float32)
    for seed in range(20):
        found = mask_spectrogram(whole, np.random.default_rng(seed), rounds=1, columns=0.15, rows=0.30)
        stretched = found.reshape(512, 128)  # rows of frequency, columns of time
        columns, rows = np.flatnonzero((stretched == 0).all(axis=0)), np.flatnonzero((stretched == 0).all(axis=1))
        assert len(columns) <= 0.15 * 128
        assert len(rows) <= 0.30 * 512
        for run in (columns, rows):
            assert np.array_equal(run, np.arange(run[0], run[-1] + 1) if len(run) else run)
        expected = np.ones((512, 128), np.float32)
        expected[:, columns] = 0
        expected[rows] = 0
        assert np.array_equal(stretched, expected)
    assert whole.all()


def test_nothing_is_masked_in_no_rounds_and_twice_as_much_in_two():
    whole = np.ones((1, 128, 512), np.float32)
    assert np.array_equal(mask_spectrogram(whole, np.random.default_rng(0), rounds=0, columns=1, rows=1), whole)
    shares = [
        np.mean(
            [
                (mask_spectrogram(whole, np.random.default_rng(s), rounds=n, columns=0.15, rows=0.3) == 0).mean()
                for s in range(99)
            ]
        )
        for n in (1, 2)
    ]
    assert shares[0] == pytest.approx(1 - 0.925 * 0.85, abs=0.03)
    assert shares[1] == pytest.approx(1 - (0.925 * 0.85) ** 2, abs=0.03)


def test_texts_vary_by_synonyms_order_and_insertions():
    def some(text, **counts):
        return {
            variant(text, np.random.default_rng(seed), SYNONYMS, **{"replace": 0, "swap": 0, "insert": 0, **counts})
            for seed in range(40)
        }

    assert some("a loud dog") == {"a loud dog"}
    assert some("a Dog barks", replace=1) == {"a hound barks", "a puppy barks"}
    assert some("a loud dog", replace=5) == {"a noisy hound", "a noisy puppy"}
    assert some("one two", swap=1) == {"two one"}
    assert some("word", swap=3, insert=3, replace=3) == {"word"}
    assert some("dog", insert=1) == {"dog hound", "dog puppy", "hound dog", "puppy dog"}


def test_pictures_are_cropped_with_their_proportions_and_mirrored():
    picture = np.arange(40 * 80, dtype=np.uint32).reshape(40, 80, 1).repeat(3, axis=2).astype(np.uint8)
    mirrored = 0
    for seed in range(60):
        part = random_crop(picture, np.random.default_rng(seed), flip=True, least_share=0.25)
        assert 20 <= part.shape[0] <= 40
        assert abs(part.shape[1] - 2 * part.shape[0]) <= 1
        mirrored += int(part[0, 0, 0]) == (int(part[0, 1, 0]) + 1) % 256
    assert 15 < mirrored < 45
    assert np.array_equal(random_crop(picture, np.random.default_rng(0), flip=False, least_share=1.0), picture)
