"""Bare echoes: processes that send back what they received, as fast as Python can.

They are the floor that everything else is compared with: a caller against an echo costs what the caller itself, the
kernel and the change from process to process cost, and nothing that is ours.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from tests.bench.process import Process

BACKLOG = 1024
RECEIVE_BYTES = 4096


def unix_echo(path: str) -> Process:
    """An echo behind a UNIX socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    return _started(listener)


def tcp_echo(ip: str, port: int) -> Process:
    """An echo behind a TCP port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted connections inherit it
    listener.bind((ip, port))
    return _started(listener)


def _started(listener: socket.socket) -> Process:
    listener.listen(BACKLOG)
    process = Process(lambda stop: _serve(listener, stop))
    listener.close()
    return process


def _serve(listener: socket.socket, stop: int) -> None:
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    poller.register(stop, select.EPOLLIN)
    channels: dict[int, socket.socket] = {}
    while True:
        for number, _ in poller.poll():
            channel = channels.get(number)
            if channel is not None:
                try:
                    data = channel.recv(RECEIVE_BYTES)
                    channel.send(data)
                except OSError:
                    data = b""
                if not data:
                    del channels[number]
                    channel.close()
            elif number == stop:
                return
            else:
                channel, _ = listener.accept()
                channels[channel.fileno()] = channel
                poller.register(channel, select.EPOLLIN)


def on_kept_connection(ip: str, port: int) -> Callable[[], None]:
    """Ask an echo over one TCP connection; the operation of a caller."""
    channel = socket.create_connection((ip, port))
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def operation() -> None:
        channel.send(b"ping\n")
        if channel.recv(RECEIVE_BYTES) != b"ping\n":
            raise AssertionError("the echo answers something else")

    return operation


def on_new_connections(ip: str, port: int) -> Callable[[], None]:
    """Ask an echo over a new TCP connection each time; the operation of a caller."""

    def operation() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as channel:
            channel.connect((ip, port))
            channel.send(b"ping\n")
            if channel.recv(RECEIVE_BYTES) != b"ping\n":
                raise AssertionError("the echo answers something else")

    return operation
