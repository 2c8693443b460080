"""Lists the public members of asyncio's StreamReader, StreamWriter and Server, as inspect finds them.

    python3 asyncio_members.py > asyncio-members.txt

Members that only the syntax calls (async for, async with) are included.
"""
import asyncio
import inspect
import sys

SYNTAX = {"__aiter__", "__anext__", "__aenter__", "__aexit__"}


def signature(member):
    if isinstance(member, property):
        return ""
    parameters = list(inspect.signature(member).parameters.values())[1:]
    return str(inspect.Signature(parameters))


print("# Public members of asyncio Streams, by asyncio_members.py with the inspect module of CPython %d.%d.%d." % sys.version_info[:3])
print("# The library documentation of CPython 3.14 adds no member to these three classes since 3.13.")
for type_ in (asyncio.StreamReader, asyncio.StreamWriter, asyncio.Server):
    for name, member in inspect.getmembers(type_):
        if name in SYNTAX or not name.startswith("_"):
            print(f"{type_.__name__}.{name}{signature(member)}")
