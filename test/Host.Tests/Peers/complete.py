"""Types a line and a tab into a shell on a terminal, and prints the arguments that the line has then, one a line.

complete.py SETUP LINE SHELL [ARGUMENT...]    SETUP is typed first; after the tab comes "here", so that it shows where a word goes on
"""
import os
import pty
import re
import select
import sys
import time

setup, line, *shell = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="xterm", PS1="> ", COLUMNS="400")
    os.execvp(shell[0], shell)


def type_and_await(keys, expected):
    """The quotes in the typed text keep its echo from matching."""
    os.write(terminal, keys.encode())
    output, deadline = b"", time.monotonic() + 30
    while not re.search(expected, output):
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            sys.exit(f"{shell[0]} did not answer: {output!r}")
        output += os.read(terminal, 65536)
    return output.decode()


type_and_await("echo re''ady\r", rb"ready\r\n")
type_and_await(f"stty cols 400; {setup}; echo re''ady\r", rb"ready\r\n")
# Control-A goes to the beginning of the line.
output = type_and_await(f"{line}\there; echo e''nd\x01printf '<%s>\\n' \r", rb"\nendx?\r\n")
plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b\(B|\r", "", output)
print("\n".join(re.findall(r"^<(.*)>$", plain, re.MULTILINE)))
os.write(terminal, b"exit\r")
