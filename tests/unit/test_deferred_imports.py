"""Postponed imports: used names are the real ones, unused modules are not imported."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PACKAGE = {
    "heavy/__init__.py": "import sys\nfrom heavy.nets import Net\nNAME = 'heavy'\n",
    "heavy/nets/__init__.py": "from heavy.nets.net import Net\nfrom heavy.nets.other import Other\n",
    "heavy/nets/net.py": """
        import torch
        from torch._dynamo import allow_in_graph
        from extras import Base, LIMIT
        from extras.inner import helper, Missing as Absent
        import extras.inner as inner

        @allow_in_graph
        class Net:
            @torch.compiler.disable
            def run(self):
                return "ran"

            def is_base(self, value):
                return isinstance(value, Base), issubclass(type(value), Base)

            def help(self):
                return helper(2), inner.helper(3), LIMIT.bit_length()
    """,
    "heavy/nets/other.py": "from extras import Base\nclass Other(Base):\n    pass\n",
    "extras/__init__.py": "from extras.inner import helper\nLIMIT = 8\nclass Base:\n    pass\n",
    "extras/versioned.py": "__version__ = '1.2'\n",
    "extras/inner.py": "import os\nos.environ['EXTRAS'] = 'was here'\ndef helper(n):\n    return n * 10\n",
}
BEGINNING = """
import os, sys, torch
from svdaudio.deferred_imports import DYNAMO, deferred_imports
with deferred_imports(packages=("heavy.nets",), modules=("extras",)):
    from heavy.nets.net import Net
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Runs a program that can import a package like diffusers, in its own process."""
    folder = tmp_path_factory.mktemp("packages")
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    (folder / "heavy" / "__init__.py").write_text("NAME = 'heavy'\n")

    def run(*lines):
        code = f"import sys\nsys.path.insert(0, {str(folder)!r})\n{BEGINNING}" + "\n".join(lines)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run


def test_unused_packages_are_not_imported_and_leave_no_trace(program):
    assert program(
        "net = Net()",
        "assert net.run() == 'ran'",
        "print([name for name in ('heavy.nets.other', 'extras', 'extras.inner', DYNAMO) if name in sys.modules])",
        "print('nets' in vars(sys.modules['heavy']), 'EXTRAS' in os.environ)",
    ) == ["[]", "True", "False"]


def test_used_names_are_those_of_the_real_module(program):
    assert program(
        "net = Net()",
        "assert net.help() == (20, 30, 4)",
        "import extras",
        "assert net.is_base(extras.Base()) == (True, True)",
        "assert net.is_base(1) == (False, False)",
        "print(extras.LIMIT, 'EXTRAS' in os.environ)",
    ) == ["8", "False"]


def test_a_package_runs_its_init_on_first_attribute_access(program):
    assert program(
        "import heavy.nets",
        "assert 'heavy.nets.other' not in sys.modules",
        "from heavy.nets import Net as Same, Other",
        "import extras",
        "assert Same is Net and issubclass(Other, extras.Base)",
        "assert heavy.nets.net.Net is Net and 'Other' in dir(heavy.nets)",
        "print(type(heavy.nets).__name__, heavy.nets.__spec__.loader is heavy.nets.__loader__)",
        "print(hasattr(heavy.nets, 'nothing'))",
    ) == ["module", "True", "False"]


def test_a_missing_name_is_an_error_on_use(program):
    assert program(
        "from heavy.nets import net",
        "try:",
        "    net.Absent()",
        "except AttributeError as error:",
        "    print('Missing' in str(error))",
    ) == ["True"]


def test_marks_for_the_compiler_are_applied_when_it_is_imported(program):
    assert program(
        "import torch._dynamo",
        "from torch._dynamo import trace_rules",
        "assert trace_rules.is_callable_allowed(Net)",
        "assert Net().run() == 'ran'",
        "print(type(torch._dynamo).__name__)",
    ) == ["module"]


def test_modules_imported_before_are_unchanged(program):
    assert program(
        "import extras",
        "with deferred_imports(modules=('extras',)):",
        "    from extras import Base",
        "print(Base is extras.Base)",
    ) == ["True"]


def test_a_version_is_that_of_the_real_module(program):
    assert program(
        "with deferred_imports(modules=('extras.versioned',)):",
        "    from extras import versioned",
        "    print(versioned.__version__)",
    ) == ["1.2"]


def test_an_installed_peft_is_not_imported_with_diffusers(tmp_path):
    """diffusers imports it if it is installed, and it uses parts of transformers immediately."""
    (tmp_path / "peft-0.21.0.dist-info").mkdir()
    (tmp_path / "peft-0.21.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.21.0\n")
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "__init__.py").write_text("raise RuntimeError('peft was imported')\n")
    code = (
        "import svdaudio.models.audioldm.diffusers_parts, diffusers.utils; print(diffusers.utils.is_peft_available())"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["True"], done.stderr
