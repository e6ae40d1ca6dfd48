"""A Prefect server for the tests that need one: started once, on a free port, ended with the session."""

from __future__ import annotations

import pytest

from flows import server


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory):
    """The running server; its home is `prefect_server_home`."""
    home = tmp_path_factory.mktemp("server")
    yield server.start(home), home
    server.stop(home)


@pytest.fixture
def prefect_api(prefect_server, monkeypatch, tmp_path_factory):
    """The API's address, with Prefect's own settings kept away from the user's."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path_factory.getbasetemp() / "prefect-client"))
    return prefect_server[0].api_url
