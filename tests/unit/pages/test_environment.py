"""The environment of templates: values are escaped, and a missing value is an error."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from svdaudio.pages.environment import TEMPLATES, environment


def render(text, **values):
    return environment().from_string(text).render(**values)


def test_texts_are_escaped_including_control_characters():
    assert render("{{ name }}", name='<a href="x">\x1b\u202e&') == "&lt;a href=&#34;x&#34;&gt;\\x1b\\u202e&amp;"
    assert render("{{ made }} {{ n }}", made=Markup("<b>"), n=3) == "<b> 3"


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError, match="nothing"):
        render("{{ nothing }}")


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.j2")), ids=lambda path: path.name)
def test_no_template_switches_escaping_off(path):
    text = path.read_text()
    assert "| safe" not in text
    assert "|safe" not in text
    assert "autoescape" not in text
