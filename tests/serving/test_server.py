"""The listening socket, and how its address is written."""

from __future__ import annotations

import socket

import pytest

from atonce.serving.server import address_of, listen


def test_addresses_of_both_kinds() -> None:
    assert address_of("::1", 80) == "[::1]:80"
    assert address_of("127.0.0.1", 80) == "127.0.0.1:80"


def has_ipv6() -> bool:
    """Tell whether this machine has the address ::1, without asking atonce."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="there is no ::1 here")
def test_it_listens_on_ipv6() -> None:
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
        port = listener.getsockname()[1]
        with socket.create_connection(("::1", port), timeout=10):
            pass
