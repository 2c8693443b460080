"""Starts a program as systemd does with sockets: activate.py NAME=tcp|/path... -- COMMAND...

The sockets are handed over from descriptor 3 on, in this order. ACTIVATE_PID in the environment is LISTEN_PID in place of the program's own.
"""
import os
import socket
import sys

split = sys.argv.index("--")
names = []
for number, argument in enumerate(sys.argv[1:split], 3):
    name, where = argument.split("=", 1)
    if where == "tcp":
        listening = socket.socket(socket.AF_INET)
        listening.bind(("127.0.0.1", 0))
    elif where == "datagram":
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.bind(("127.0.0.1", 0))
    else:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(where)
    if where != "datagram":
        listening.listen(64)
    # Already there where descriptors are handed out in order; a copy of itself would be closed with it.
    if listening.fileno() != number:
        os.dup2(listening.fileno(), number)
    os.set_inheritable(number, True)
    names.append(name)
    globals()[f"keep{number}"] = listening
os.environ["LISTEN_FDS"] = str(len(names))
os.environ["LISTEN_FDNAMES"] = ":".join(names)
os.environ["LISTEN_PID"] = os.environ.get("ACTIVATE_PID", str(os.getpid()))
command = sys.argv[split + 1:]
os.execv(command[0], command)
