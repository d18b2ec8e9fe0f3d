"""Servers that do not do what a tracking server does."""

import socket

import pytest


@pytest.fixture
def silent():
    """The address of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
