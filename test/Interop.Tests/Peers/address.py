"""The addresses that the tests hand over: tcp:PORT, tls:PORT:CERTIFICATE[:KEY], unix:PATH or unix:@NAME."""

import asyncio
import ssl

HOST = "127.0.0.1"


def client_context(certificate):
    return ssl.create_default_context(cafile=certificate)


def unix_path(path):
    return "\0" + path[1:] if path.startswith("@") else path


async def open_connection(address):
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(unix_path(rest))
    if kind == "tls":
        port, certificate = rest.split(":")
        context = client_context(certificate)
        return await asyncio.open_connection(HOST, int(port), ssl=context, server_hostname="localhost")
    return await asyncio.open_connection(HOST, int(rest))


async def start_server(callback, address):
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return await asyncio.start_unix_server(callback, unix_path(rest))
    if kind == "tls":
        port, certificate, key = rest.split(":")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return await asyncio.start_server(callback, HOST, int(port), ssl=context)
    return await asyncio.start_server(callback, HOST, int(rest))
