"""framing_client.py ADDRESS FORMAT: sends frames with a length packed by struct, and checks that each comes back."""

import socket
import struct
import sys

SIZES = [0, 1, 127, 128, 300, 16384, 65535]
port, layout = int(sys.argv[1].partition(":")[2]), sys.argv[2]
with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as stream:
    for size in SIZES:
        frame = bytes(i % 251 for i in range(size))
        stream.write(struct.pack(layout, size) + frame)
        stream.flush()
        (length,) = struct.unpack(layout, stream.read(struct.calcsize(layout)))
        assert stream.read(length) == frame, size
    connection.shutdown(socket.SHUT_WR)
    assert stream.read() == b""
print(f"{len(SIZES)} frames, then the end")
