"""The ablation: settings, embeddings against the published computation, and tables against hand-computed sums."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from svdaudio.config import resolve
from svdaudio.figures import Figure
from svdaudio.methods.manipulate import ManipulateConfig
from svdaudio.mini import farm
from svdaudio.pages.study import Bars, Curves, HeatMap, StudyPage, Table
from svdaudio.studies import ablation, edits
from svdaudio.studies.ablation import DIRECT, FADE, FOUR_WAY, ORIGINAL, PARTS, PLAIN, SETTINGS, THREE_WAY, WITH_SOUND
from svdaudio.studies.ablation_embeddings import (
    BOOST,
    COLUMNS,
    FROM_EDITED,
    FROM_FOUR_WAY,
    SIMILARITY,
    SUPPRESS,
    EditEmbeddings,
    edit_embeddings,
    with_conditions,
)
from svdaudio.studies.ablation_figures import HEARD, Ablation, acts
from svdaudio.studies.ablation_page import markdown, page, write_files
from svdaudio.studies.ablation_study import AblationStudy, MuteOutcome, run_name, targets_of
from svdaudio.studies.edit_study import chosen_edits
from svdaudio.svd.factors import aggregate, factorize
from svdaudio.svd.mix import MixWeights, background_embedding, manipulate

NAMES = {setting.name for setting in SETTINGS}


# -- settings ----------------------------------------------------------------------------------------------------------


def test_every_setting_has_a_unique_name_and_valid_parameters():
    assert len(NAMES) == len(SETTINGS)
    assert {PLAIN, ORIGINAL}.isdisjoint(NAMES)
    resolved = {one.name: resolve(ManipulateConfig, given=one.parameters).config for one in SETTINGS}
    assert resolved[FOUR_WAY] == ManipulateConfig()
    assert resolved[ablation.THREE_DROPPED].edit.locals == "dropped"


def test_the_settings_cover_the_recommended_ranges():
    def values(group, name):
        return {one.parameters[name] for one in SETTINGS if one.group == group}

    assert values("K", "svd.k") == set(range(1, 16))
    assert {0.0, 0.5, 1.0} < values("α", "svd.alpha")
    assert {1.0, 3.0, 100.0} < values("β", "svd.beta")
    assert {one.form for one in WITH_SOUND} == {"svd", "fade", "clap"}
    assert not any(one.sound for one in SETTINGS if one.centre)


def test_parts_compare_audible_settings():
    for part in PARTS:
        assert {part.with_it, part.without} <= set(HEARD)
        assert part.with_it != part.without


# -- embeddings --------------------------------------------------------------------------------------------------------


class Ssv2a:
    """A network whose CLAP embedding encodes its inputs: the global embedding and the number of objects."""


@pytest.fixture(scope="module")
def arrays():
    """Arrays of a run with the default setting, over tokens that share a direction."""
    random = np.random.default_rng(5)
    found = {}
    for name in ("original", "edited"):
        rows = random.standard_normal(768) + 0.5 * random.standard_normal((257, 768))
        tokens = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        embedding = rows[0] + 0.5 * random.standard_normal(768)
        found[f"{name}.tokens"] = {
            "tokens": tokens, "embedding": (embedding / np.linalg.norm(embedding)).astype(np.float32)
        }  # fmt: skip
    grids = {"removed": np.arange(256) % 13 == 0, "added": np.arange(256) % 17 == 1}
    for region, picture in (("removed", "original"), ("added", "edited")):
        found[f"{region}.align"] = {"grid": grids[region]}
        found[f"{region}.factors"] = vars(factorize(found[f"{picture}.tokens"]["tokens"], grids[region]))
    found["background"] = {"embedding": background_embedding(found["edited.tokens"]["tokens"], *grids.values())}
    found["edited.locals"] = {"embeddings": np.ones((3, 768), np.float32)}
    return found


class Run:
    """A run of the published method whose arrays are given."""

    config = ManipulateConfig()

    def __init__(self, arrays):
        from svdaudio.methods.manipulate import METHOD

        self.arrays, self.method = arrays, METHOD

    def __getitem__(self, node):
        return self.arrays[node]

    def has(self, *nodes):
        return all(node in self.arrays for node in nodes)


@pytest.fixture(scope="module")
def measured(arrays):
    with pytest.MonkeyPatch.context() as patch:

        def remix(*, embedding, locals, ssv2a, **settings):  # noqa: A002
            clap = np.append(embedding[:511], 0.1 * len(locals)).astype(np.float32)
            return {"clap": clap / np.linalg.norm(clap)}

        patch.setattr("svdaudio.tasks.synthesis.remix.run", remix)
        return edit_embeddings(Run(arrays), SETTINGS, {"ssv2a": Ssv2a()})


def angle(first, second):
    first, second = first.astype(np.float64), second.astype(np.float64)
    return np.degrees(np.arctan2(np.linalg.norm(first - (first @ second) * second), first @ second))


@pytest.mark.parametrize("name", [FOUR_WAY, THREE_WAY, DIRECT, ablation.EXTREME, "K = 3", "α = 0.2, K = 1"])
def test_the_columns_agree_with_the_published_computation(name, arrays, measured):
    setting = next(one for one in SETTINGS if one.name == name)
    config = resolve(ManipulateConfig, given=setting.parameters).config
    factors = {region: factorize(
        arrays[f"{picture}.tokens"]["tokens"], arrays[f"{region}.align"]["grid"]
    ) for region, picture in (("removed", "original"), ("added", "edited"))}  # fmt: skip
    direct = arrays["edited.tokens"]["embedding"]

    def mixed(config):
        weights = config.mix
        return manipulate(
            **factors, background=arrays["background"]["embedding"], direct=direct, k=config.svd.k,
            alpha=config.svd.alpha, beta=config.svd.beta,
            weights=MixWeights(
                suppress=weights.alpha, boost=weights.beta, background=weights.gamma, direct=weights.direct
            ),
        )  # fmt: skip

    found, here = measured.columns[name], mixed(config)
    assert found[SUPPRESS] == pytest.approx(
        angle(here.suppress, aggregate(factors["removed"], k=1, factor=1.0)), abs=1e-3
    )
    assert found[BOOST] == pytest.approx(angle(here.boost, aggregate(factors["added"], k=1, factor=1.0)), abs=1e-3)
    assert found[FROM_EDITED] == pytest.approx(angle(here.embedding, direct), abs=1e-3)
    assert found[FROM_FOUR_WAY] == pytest.approx(angle(here.embedding, mixed(ManipulateConfig()).embedding), abs=1e-3)


def test_plain_sounds_centred_tokens_and_dropped_objects(arrays, measured):
    found = measured.columns
    assert found.keys() == {ORIGINAL, PLAIN, *(one.name for one in SETTINGS if one.form == "svd")}
    assert (found[PLAIN][FROM_EDITED], found[DIRECT][FROM_EDITED]) == (0, pytest.approx(0, abs=1e-4))
    direct, original = (arrays[f"{name}.tokens"]["embedding"] for name in ("edited", "original"))
    assert found[ORIGINAL][FROM_EDITED] == pytest.approx(angle(original, direct), abs=1e-3)
    rows, patches = [one.name for one in SETTINGS if one.centre][:2]
    assert found[rows][SUPPRESS] == pytest.approx(0, abs=1e-2) != pytest.approx(found[patches][SUPPRESS], abs=1e-2)
    assert measured.claps[FOUR_WAY][-1] > 0 == measured.claps[ablation.FOUR_DROPPED][-1]
    assert found[PLAIN][SIMILARITY] == pytest.approx(1)
    assert measured.suppress.shape == (15, 11)
    assert measured.suppress[4, 3] == pytest.approx(found[FOUR_WAY][SUPPRESS])
    assert 0 < measured.shares["removed"] <= 1


def test_a_region_emptied_by_a_factor_of_0_is_missing_only_from_its_settings(arrays):
    small = {"grid": np.arange(256) < 2}  # CLS and two patches: K = 5 scales all of them
    changed = {**arrays, "removed.align": small}
    changed["removed.factors"] = vars(factorize(arrays["original.tokens"]["tokens"], small["grid"]))
    few = [one for one in SETTINGS if one.name in (FOUR_WAY, "α = 0, K = 5", "α = 0, K = 1")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("svdaudio.tasks.synthesis.remix.run", lambda embedding, **more: {"clap": embedding[:512]})
        found = edit_embeddings(Run(changed), few, {"ssv2a": Ssv2a()}).columns
    assert found.keys() == {ORIGINAL, PLAIN, FOUR_WAY, "α = 0, K = 1"}


def test_forms_without_a_mix_only_have_a_clap_embedding(measured):
    plain = measured.claps[PLAIN]
    found = with_conditions(measured, {FADE: plain, ablation.CLAP: -plain})
    assert found.columns[FADE] == {SIMILARITY: pytest.approx(1)}
    assert found.columns[ablation.CLAP] == {SIMILARITY: pytest.approx(-1)}


# -- the study ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path):
    return AblationStudy(folder=tmp_path, kinds=chosen_edits(["cat-duck", "duck-cat"]))


def test_every_edit_and_mute_runs_with_every_audible_setting(study):
    rows = study.rows()
    first, others = rows.values()
    [mute] = study.mutes  # the reversed pair adds no further mute
    assert mute.name in ("cat-muted-beside-duck", "duck-muted-beside-cat")
    names = [*(edit.name for edit in study.edits), mute.name]
    assert [row.name for row in first] == names
    assert {row.name for row in others} == {run_name(case, one.name) for case in names for one in WITH_SOUND[1:]}
    row = first[2]
    assert row.files["original"] == row.files["edited"] == study.scenes / "cat-duck.png"
    assert row.parameters.keys() == {"remove"}
    [[x, y, _]] = row.parameters["remove"]
    assert mute.scene.picture.mask(mute.scene.animals.index(mute.muted))[y, x]
    assert not any(targets_of(selection) for selection in rows)
    three = next(row for row in others if row.name == f"{names[0]}, {THREE_WAY}")
    assert three.parameters == {**first[0].parameters, "mix.direct": 0.0}


def test_without_sounds_no_sound_or_mute_is_computed(tmp_path):
    study = AblationStudy(folder=tmp_path, kinds=chosen_edits(["cat-duck"]), sounds=False)
    rows = study.rows()
    assert {selection: targets_of(selection)[0] for selection in rows} == {
        "mix": "mix", "fade": "manipulated.fade", "clap": "manipulated.blend"
    }  # fmt: skip
    assert rows["fade"][0].parameters["edit.form"] == "fade"
    assert study.mutes == []


def test_a_study_is_restored_from_its_record_with_its_command(study, tmp_path):
    command = study.command(["svd.k=3"], {"seed": 7})
    assert command == "svdaudio ablate --only cat-duck --only duck-cat --set svd.k=3 --seed 7"
    again, same = AblationStudy.of_record(study.kept(command))
    assert (again, same) == (study, command)
    everything = AblationStudy(folder=tmp_path, kinds=chosen_edits(None), scene_seed=3, sounds=False)
    assert everything.command([], {}) == "svdaudio ablate --embeddings-only --scenes 3"


def test_outcomes_only_include_cases_heard_with_every_setting(study):
    sounds = {name: {"cat": 0.5, "duck": 0.25} for name in ("original", "edited", "manipulated")}
    names = [*(edit.name for edit in study.edits), *(mute.name for mute in study.mutes)]
    scores = {run_name(case, one.name): sounds for case in names for one in WITH_SOUND}
    assert [len(found) for found in (study.edits_heard(scores), study.mutes_heard(scores))] == [2, 1]
    assert set(study.edits_heard(scores)[0].sounds) == set(HEARD)
    del scores[run_name(names[0], FADE)]
    scores[run_name(names[2], FADE)] = {}
    assert [len(found) for found in (study.edits_heard(scores), study.mutes_heard(scores))] == [1, 0]


def test_each_animal_is_muted_in_turn_and_each_pair_once(tmp_path):
    mutes = AblationStudy(folder=tmp_path, kinds=chosen_edits(None)).mutes
    assert len({frozenset((mute.muted, mute.other)) for mute in mutes}) == len(mutes) == 36
    assert [sum(mute.muted == name for mute in mutes) for name in farm.CLASSES] == [4] * 9


# -- figures -----------------------------------------------------------------------------------------------------------

BEFORE = {"cat": 0.9, "duck": 0.1, "cow": 0.8}


@pytest.fixture(scope="module")
def found():
    """Two edits and two mutes with made-up outcomes: most settings equal plain, some do not."""
    plain = {"cat": 0.1, "duck": 0.9, "cow": 0.7}
    silent = {"cat": 0.0, "duck": 0.1, "cow": 0.8}
    heard = [
        {**dict.fromkeys(HEARD, plain), ORIGINAL: BEFORE, FOUR_WAY: {**plain, "duck": duck, "cow": 0.75}}
        for duck in (0.8, 0.05)
    ]
    muted = [{**dict.fromkeys(HEARD, BEFORE), FADE: silent}, {**dict.fromkeys(HEARD, BEFORE), FADE: BEFORE}]
    row = {SUPPRESS: 0.1, BOOST: 0.02, FROM_EDITED: 20.0, FROM_FOUR_WAY: 0.01, SIMILARITY: 0.99}
    unit = np.eye(512, dtype=np.float32)[0]
    embeddings = {
        ("cat", "duck", kept): EditEmbeddings(
            columns={name: {one: value * times for one, value in row.items()} for name in (ORIGINAL, PLAIN, *NAMES)},
            claps=dict.fromkeys((PLAIN, *NAMES), unit),
            suppress=np.ones((15, 11)), boost=np.ones((15, 10)), shares={"removed": 0.999999, "added": 0.9999999},
        )
        for kept, times in (("cow", 1), ("dog", 3))
    }  # fmt: skip
    return Ablation(
        embeddings=embeddings,
        edits=[edits.Outcome(removed="cat", added="duck", kept="cow", original=BEFORE, sounds=one) for one in heard],
        mutes=[MuteOutcome(muted="cat", other="cow", original=BEFORE, sounds=one) for one in muted],
    )


def test_means_agree_with_hand_computed_values(found):
    heard = {figure.name: figure.value for figure in found.heard(FOUR_WAY)}
    assert heard["added class rises"] == heard["both"] == 0.5
    assert heard["removed class falls"] == 1
    assert heard["mean rise of the added class"] == pytest.approx((0.7 - 0.05) / 2)
    assert heard["mean absolute change of the kept class"] == pytest.approx(0.05)
    assert [figure.value for figure in found.muted(FADE)] == pytest.approx([0.5, 0.45, 0.0])
    assert found.moved(FOUR_WAY, SUPPRESS).value == pytest.approx(0.2)
    assert found.moved(FADE, "nothing") is None


def test_parts_are_compared_case_by_case(found):
    assert found.alike(PARTS[0]).value == pytest.approx(1)
    whole = found.compared(PARTS[0])
    assert [figure.value for figure in whole] == pytest.approx([(-0.1 - 0.85) / 2, 0, -0.05, 0, 0])
    assert (whole[0].low, whole[0].high) == pytest.approx((-0.85, -0.1))
    assert acts(whole) == "yes"
    fade = next(part for part in PARTS if part.with_it == FADE)
    assert [figure.value for figure in found.compared(fade)] == pytest.approx([0, 0, 0, 0.45, 0])
    assert acts(found.compared(fade)) == "no"  # one of two mutes: the interval contains 0
    assert acts(whole[2:3]) == "yes"
    assert acts([]) == "no"


@pytest.mark.parametrize(
    ("value", "low", "high", "answer"),
    [
        (-0.06, -0.08, -0.01, "yes"), (-0.01, -0.02, -0.001, "hardly"), (2e-5, 1e-5, 3e-5, "no"), (0.5, -0.1, 0.9, "no")
    ],
)  # fmt: skip
def test_small_significant_differences_are_minor_effects_and_tiny_ones_none(value, low, high, answer):
    assert acts([Figure(name="", value=value, low=low, high=high, n=9)]) == answer


def test_the_tables_have_a_row_for_each_setting(found):
    parts, embeddings, heard, differences, mutes = found.tables()
    assert [row[0] for row in parts.rows] == [part.name for part in PARTS]
    assert parts.rows[0][1] == "yes"
    assert [row[0] for row in heard.rows] == list(HEARD)
    assert [row[0] for row in differences.rows] == [row[0] for row in mutes.rows] == list(HEARD[2:])
    assert [row[0] for row in embeddings.rows][:3] == [ORIGINAL, PLAIN, FOUR_WAY]
    for one in found.tables():
        assert {len(row) for row in one.rows} == {len(one.columns)}
    direct = next(row for row in differences.rows if row[0] == DIRECT)
    assert [figure.value for figure in direct[1:]] == [0, 0, 0]


def test_the_reading_names_the_parts_with_an_effect(found):
    text = " ".join(found.reading.values())
    assert "The factors α and β do not act at their defaults: on average they turn E_suppress by 0.200°" in text
    assert "At least 0.999999 of a region's mean" in text
    assert "Parts that act on the scores: the whole mix" in text
    assert "By less than 0.05: none. Not at all: the whole mix, objects dropped" in text
    assert "Of 2 mutes the published form silences 0 with its defaults and none with any other, form fade 1" in text


def test_the_document_the_page_and_the_table_of_all_cases(found, tmp_path):
    text = markdown(found, command="svdaudio ablate", bundle="mini")
    assert text.startswith("`svdaudio ablate`: 2 edits and 2 mutes, bundle mini, means")
    assert f"| {FOUR_WAY} | 0.500 [0.000, 1.000] | 1.000 [1.000, 1.000] | 0.500 [0.000, 1.000] | 0.325" in text
    assert '"direct only" is identical to "edited, plain SSV2A", sound by sound.' in text
    assert "| K = 15 |" in text
    assert "| K = 14 |" not in text

    made = page(found, command="svdaudio ablate", bundle="mini")
    assert isinstance(made, StudyPage)
    kinds = [type(section) for section in made.sections]
    assert (kinds.count(Table), kinds.count(Curves), kinds.count(HeatMap), kinds.count(Bars)) == (8, 3, 2, 1)
    for section in made.sections:
        if isinstance(section, HeatMap):
            assert {len(row) for row in section.values} == {len(section.x)}
            assert len(section.values) == len(section.y) == 15
        if isinstance(section, Curves):
            assert all(len(one.x) == len(one.y) == len(one.low) == len(one.high) for one in section.curves)
    assert made.lead.startswith("The factors α and β do not act")

    files = write_files(found, tmp_path, command="svdaudio ablate", bundle="mini")
    assert {name: path.name for name, path in files.items()} == {
        "every case": "ablation.csv", "tables": "ablation.md", "page": "ablation.html"
    }  # fmt: skip
    with files["every case"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (2 + len(SETTINGS)) + 2 * len(HEARD)
    four = next(row for row in rows if (row["setting"], row["kept"]) == (FOUR_WAY, "cow"))
    assert (four["removed.before"], four[SUPPRESS]) == ("0.9", "0.1")
    three = next(row for row in rows if row["setting"] == THREE_WAY)
    assert three["parameters"] == "mix.direct=0"
    mute = next(row for row in rows if row["kind"] == "mute" and row["setting"] == FADE)
    assert (mute["removed.after"], mute["added.after"], mute["kept.after"], mute[FROM_EDITED]) == ("0.0", "", "0.8", "")


def test_without_sounds_there_are_only_embeddings(found):
    alone = Ablation(embeddings=found.embeddings, edits=[], mutes=[])
    assert [one.title for one in alone.tables()] == ["Embeddings of 2 edits"]
    assert list(alone.reading) == ["factors", "range", "centring", "mix"]
    assert alone.values()["parts"] == {}
    assert "edits" not in alone.values()["settings"][FOUR_WAY]
    assert found.values()["settings"][FOUR_WAY].keys() == {"embeddings", "edits", "mutes"}
    assert set(COLUMNS.values()) == set(alone.values()["settings"][FOUR_WAY]["embeddings"])
