"""The listening socket, and how its address is written."""

from __future__ import annotations

import socket

import pytest

from atonce.errors import UserError
from atonce.serving.server import address_of, listen


def test_addresses_of_both_kinds() -> None:
    assert address_of("::1", 80) == "[::1]:80"
    if socket.has_ipv6:
        try:
            listen("::1", 0).close()
        except UserError as error:
            pytest.skip(f"no IPv6 here: {error}")
