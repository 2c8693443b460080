"""pass_descriptors.py ADDRESS COUNT: sends COUNT lines over a Unix socket, every other one with a descriptor, and without it if the
server refuses descriptors; demands them all back, and that no process holds the descriptors when the connection has ended."""

import os
import socket
import sys

import address

path, count = address.unix_path(sys.argv[1].removeprefix("unix:")), int(sys.argv[2])
reading, writing = os.pipe()
refused = 0
with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(10)
    connection.connect(path)
    for i in range(count):
        line = f"{i}\n".encode()
        if i % 2 == 0:
            try:
                socket.send_fds(connection, [line], [writing])
                continue
            except PermissionError:
                refused += 1
        connection.sendall(line)
    os.close(writing)
    print("sent", flush=True)
    with connection.makefile("rb") as answers:
        for i in range(count):
            answer = answers.readline()
            assert answer == f"{i}\n".encode(), (i, answer)
        connection.shutdown(socket.SHUT_WR)
        assert answers.read() == b""
assert os.read(reading, 1) == b"", "a process wrote to the pipe"
print(f"{count} lines, {refused} descriptors refused, and no process has one")
