"""Sends a line over TLS with a client certificate, or with none, and says what came of it.

mtls_client.py PORT CA_FILE [CERTIFICATE_FILE KEY_FILE]
"""

import socket
import ssl
import sys

port, ca, *certificate = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if certificate:
    context.load_cert_chain(*certificate)

try:
    with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as plain:
        # An end without close_notify is an error: SslStream sends no alert on Linux for a certificate that it does not take.
        with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
            # In TLS 1.3 the client is through before the server has looked at its certificate: the refusal comes with the first read.
            tls.sendall(b"hello\n")
            print("served", tls.recv(100).decode().strip())
except ssl.SSLError as error:
    print("refused", error.reason)
