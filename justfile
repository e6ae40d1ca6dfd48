# `just` lists the recipes. Continuous integration runs `check`; without just on the machine: `uv run just check`.

_default:
    @just --list --unsorted

# all checks that have to pass before a change is merged
check: format-check lint types layers audit test

# format the code
format:
    uv run ruff format
    uv run ruff check --fix

# check the formatting
format-check:
    uv run ruff format --check

# ruff's lint rules
lint:
    uv run ruff check

# pyright, strict
types:
    uv run pyright

# check the import layers
layers:
    uv run lint-imports --no-cache

# known vulnerabilities of the locked releases; without a network, one line says that nothing was audited
audit *options:
    uv run python tests/audit.py {{options}}

# the tests; give arguments for a part of them: `just test tests/unit -k svd`
test *arguments:
    uv run --extra audioldm pytest {{arguments}}

# parity tests of AudioLDM with the authors' package, which this installs
parity-audioldm:
    uv run --extra audioldm pytest tests/parity/test_audioldm.py

# the long tests: hundreds of injected kills, failures and damages
nightly *arguments:
    uv run pytest -m nightly {{arguments}}

# run the demo scene
demo:
    uv run svdaudio demo

# install the pre-commit hooks
hooks:
    uv run pre-commit install
