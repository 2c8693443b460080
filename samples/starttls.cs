#:project ../src/Middleware/ByteStreams.csproj

// STARTTLS: a mail server that accepts mail only after the upgrade to TLS, and prints it.
//
//   openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout tls.key -out tls.crt
//   dotnet run samples/starttls.cs tls.crt tls.key
//
// Serves 127.0.0.1:2525. Try it with: openssl s_client -starttls smtp -connect localhost:2525 -CAfile tls.crt -crlf -quiet -no_ign_eof
// and the lines "mail from:<a@example.com>", "rcpt to:<b@example.com>", "data", a text, "." and "quit".

using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ByteStreams;

if (args.Length != 2)
{
    Console.Error.WriteLine("usage: dotnet run samples/starttls.cs CERTIFICATE.pem KEY.pem");
    return 2;
}

using var certificate = X509Certificate2.CreateFromPemFile(args[0], args[1]);
var tls = new SslServerAuthenticationOptions { ServerCertificate = certificate };

await using ByteStreamServer server = await ByteStream.StartServerAsync(ServeAsync, "127.0.0.1", 2525);
Console.WriteLine($"Serving on {server.EndPoints[0]}");
await server.ServeForeverAsync();
return 0;

async Task ServeAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
{
    writer.Write("220 localhost ESMTP\r\n");
    await writer.DrainAsync(stopping);
    while (await reader.ReadTextLineAsync(Encoding.ASCII, stopping) is { } line)
    {
        bool secure = writer.TlsProtocol is not null;
        string verb = line.Split(' ', ':')[0].ToUpperInvariant();
        if (verb == "STARTTLS" && !secure)
        {
            // The answer is sent in plain text, then the same reader and writer are encrypted. Bytes that a client sent too early are rejected.
            writer.Write("220 Go ahead\r\n");
            await writer.StartTlsAsync(tls, stopping);
            continue;
        }

        writer.Write((verb, secure) switch
        {
            ("EHLO", false) => "250-localhost\r\n250 STARTTLS\r\n",
            ("EHLO" or "HELO", _) => "250 localhost\r\n",
            ("NOOP" or "RSET", _) => "250 OK\r\n",
            ("QUIT", _) => "221 Bye\r\n",
            ("MAIL" or "RCPT" or "DATA", false) => "530 Must issue a STARTTLS command first\r\n",
            ("MAIL" or "RCPT", true) => "250 OK\r\n",
            ("DATA", true) => "354 End with a line that is a dot\r\n",
            _ => "502 Command not implemented\r\n",
        });
        await writer.DrainAsync(stopping);
        if (verb == "QUIT")
        {
            return;
        }

        if (verb == "DATA" && secure)
        {
            Console.WriteLine($"Mail over {writer.TlsProtocol}:");
            while (await reader.ReadTextLineAsync(Encoding.UTF8, stopping) is { } text && text != ".")
            {
                // A line that starts with a dot has been sent with one more.
                Console.WriteLine($"| {(text.StartsWith('.') ? text[1..] : text)}");
            }

            writer.Write("250 Accepted\r\n");
            await writer.DrainAsync(stopping);
        }
    }
}
