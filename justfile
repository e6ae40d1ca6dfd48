# `just` lists the recipes. Continuous integration runs `check`; without just on the machine: `uv run just check`.

_default:
    @just --list --unsorted

# everything that has to pass before a change goes in
check: format-check lint types layers audit test

# write the code as the formatter does
format:
    uv run ruff format
    uv run ruff check --fix

# is the code as the formatter writes it?
format-check:
    uv run ruff format --check

# ruff's rules
lint:
    uv run ruff check

# pyright, strict
types:
    uv run pyright

# who may import whom
layers:
    uv run lint-imports

# known vulnerabilities of the locked releases; without a network, one line says that nothing was audited
audit *options:
    uv run python tests/audit.py {{options}}

# the tests; give arguments for a part of them: `just test tests/unit -k svd`
test *arguments:
    uv run --extra audioldm pytest {{arguments}}

# AudioLDM against the authors' package, which this installs
parity-audioldm:
    uv run --extra audioldm pytest tests/parity/test_audioldm.py

# the tests that take long: hundreds of kills, failures and damages
nightly *arguments:
    uv run pytest -m nightly {{arguments}}

# the demo scene
demo:
    uv run svdaudio demo

# install the hooks that run before a commit
hooks:
    uv run pre-commit install
