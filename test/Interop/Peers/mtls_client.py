"""A client that shows a certificate, or none: port, file of authorities, certificate or -, key or -. Prints what becomes of it."""

import socket
import ssl
import sys

port, authorities, certificate, key = int(sys.argv[1]), *sys.argv[2:5]
context = ssl.create_default_context(cafile=authorities)
if certificate != "-":
    context.load_cert_chain(certificate, key)
try:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            # With TLS 1.3 the client is done before the server has judged it, and hears of that here.
            tls.sendall(b"hello\n")
            answer = tls.recv(100)
            print("served" if answer == b"hello\n" else "refused")
            if answer:
                tls.unwrap()
except (ssl.SSLError, ConnectionError):
    print("refused")
