"""The line of payloads keeps its deadline though the answer takes the socket away from its connection."""

from __future__ import annotations

import socket
import threading

import pytest

from update_driver_builders import plain_line


@pytest.mark.parametrize(
    "head", [b"Connection: close\r\nContent-Length: 6", b"Connection: close", b"Content-Length: 6"]
)
def test_an_answer_that_closes_is_read_to_its_end_and_in_time(head):
    go = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            near, _ = listener.accept()
            with near:
                near.recv(4096)
                near.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\nabc")
                go.wait(10)
                near.sendall(b"def")

        thread = threading.Thread(target=answer)
        thread.start()
        line = plain_line(listener.getsockname()[1])
        response = line.stream("/x", {})
        line.wait(5)
        assert response.read1(10) == b"abc"
        line.wait(0.05)
        with pytest.raises(TimeoutError):
            response.read1(10)
        go.set()
        thread.join(10)
        line.close()
