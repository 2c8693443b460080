#:project ../src/Middleware/ByteStreams.csproj

// Requests the headers of a page over HTTP or HTTPS. It is "Get HTTP headers" of the asyncio documentation.
//
//   dotnet run samples/http-headers.cs https://example.com/path/page.html
//
// Prints one line per header: "HTTP header> HTTP/1.1 200 OK" and so on.

using System.Net.Security;
using System.Text;
using ByteStreams;

if (args.Length != 1 || !Uri.TryCreate(args[0], UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https"))
{
    Console.Error.WriteLine("usage: dotnet run samples/http-headers.cs http[s]://host[:port]/path");
    return 2;
}

// The certificate must match the host: TargetHost defaults to it.
var options = new ByteStreamClientOptions { Tls = url.Scheme == "https" ? new SslClientAuthenticationOptions() : null };
await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(url.IdnHost, url.Port, options);
var (reader, writer) = connection;

writer.Write($"HEAD {url.PathAndQuery} HTTP/1.0\r\nHost: {url.Authority}\r\n\r\n");
while (await reader.ReadTextLineAsync(Encoding.Latin1) is { Length: > 0 } header)
{
    Console.WriteLine($"HTTP header> {header}");
}

return 0;
