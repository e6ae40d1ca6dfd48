"""Configurations: sections that methods share, parameters of every run, and values merged from all sources.

Of this project only the errors are imported.
"""

from __future__ import annotations

from svdaudio.config.labels import LABELS_EXPECTED, Labels, Template, prompts
from svdaudio.config.names import flatten, nested, unknown_parameter
from svdaudio.config.objects import (
    OBJECT_EXPECTED,
    REGION_EXPECTED,
    AnObject,
    Box,
    ObjectPrompt,
    Objects,
    Region,
    anchored,
    collect_objects,
    mask_text,
    parse_object,
)
from svdaudio.config.points import POINTS_EXPECTED, Point, Points, parse_point
from svdaudio.config.resolve import Resolved, parse_override, parse_value, remarks, resolve
from svdaudio.config.run import EXECUTION_PREFIX, Parameter, Parameters, RunConfig
from svdaudio.config.sections import (
    AlignConfig,
    EditConfig,
    ExecutionConfig,
    FinishConfig,
    GenerateConfig,
    LocalsConfig,
    MixConfig,
    Number,
    RemixConfig,
    Section,
    SvdConfig,
    check_steps,
    parameter,
)
from svdaudio.config.sources import SOUND_EXPECTED, TEXT_EXPECTED, Sources, check_text, collect_sources

__all__ = [
    "EXECUTION_PREFIX",
    "LABELS_EXPECTED",
    "OBJECT_EXPECTED",
    "POINTS_EXPECTED",
    "REGION_EXPECTED",
    "SOUND_EXPECTED",
    "TEXT_EXPECTED",
    "AlignConfig",
    "AnObject",
    "Box",
    "EditConfig",
    "ExecutionConfig",
    "FinishConfig",
    "GenerateConfig",
    "Labels",
    "LocalsConfig",
    "MixConfig",
    "Number",
    "ObjectPrompt",
    "Objects",
    "Parameter",
    "Parameters",
    "Point",
    "Points",
    "Region",
    "RemixConfig",
    "Resolved",
    "RunConfig",
    "Section",
    "Sources",
    "SvdConfig",
    "Template",
    "anchored",
    "check_steps",
    "check_text",
    "collect_objects",
    "collect_sources",
    "flatten",
    "mask_text",
    "nested",
    "parameter",
    "parse_object",
    "parse_override",
    "parse_point",
    "parse_value",
    "prompts",
    "remarks",
    "resolve",
    "unknown_parameter",
]
