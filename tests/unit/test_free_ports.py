"""Ports for servers that nobody has named one for."""

from __future__ import annotations

import socket

from vitrine.runtime.ports import LOCALHOST, free_port, free_ports


def test_neighbours_can_all_be_listened_on() -> None:
    probes = [socket.socket() for _ in range(4)]
    try:
        for probe, port in zip(probes, free_ports(4), strict=True):
            probe.bind((LOCALHOST, port))
            probe.listen()
    finally:
        for probe in probes:
            probe.close()


def test_none_is_named_twice() -> None:
    assert len({free_port() for _ in range(500)}) == 500


def test_one_that_is_taken_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind((LOCALHOST, free_port() + 2))
        taken.listen()

        assert taken.getsockname()[1] not in free_ports(3)
