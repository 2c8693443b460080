#:project ../src/Middleware/ByteStreams.csproj

// A connection middleware of your own: the first line of a connection must be a token. It identifies the user, and the handler gets only the
// bytes that follow. Middleware reads and writes context.Transport, as every middleware of Kestrel does.
//
//   dotnet run samples/connection-middleware.cs
//
// Serves 127.0.0.1:7083. Try it with: printf 'token-of-ann\nhello\n' | nc -N 127.0.0.1 7083     prints "ann: hello"
// Another first line is answered with "unknown token".

using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using ByteStreams;
using Microsoft.AspNetCore.Connections;

var users = new Dictionary<string, string> { ["token-of-ann"] = "ann", ["token-of-bob"] = "bob" };
var options = new ByteStreamServerOptions();
options.Use(next => new TokenMiddleware(next, users).OnConnectionAsync);

await using ByteStreamServer server = await ByteStream.StartServerAsync(async (reader, writer) =>
{
    string user = writer.Transport!.Features.Get<IUserFeature>()!.Name;
    while (await reader.ReadTextLineAsync() is { } line)
    {
        writer.Write($"{user}: {line}\n");
        await writer.DrainAsync();
    }
}, "127.0.0.1", 7083, options);
Console.WriteLine($"Serving on {server.EndPoints[0]}");
await server.ServeForeverAsync();

internal interface IUserFeature
{
    string Name { get; }
}

internal sealed record User(string Name) : IUserFeature;

internal sealed class TokenMiddleware(ConnectionDelegate next, IReadOnlyDictionary<string, string> users)
{
    private const int MaxLength = 100;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    public async Task OnConnectionAsync(ConnectionContext context)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(context.ConnectionClosed);
        timeout.CancelAfter(Patience);
        if (await ReadTokenAsync(context.Transport.Input, timeout.Token) is { } token && users.TryGetValue(token, out string? user))
        {
            context.Features.Set<IUserFeature>(new User(user));
            await next(context);
            return;
        }

        // Without a call of next, the connection is closed when the method returns.
        await context.Transport.Output.WriteAsync("unknown token\n"u8.ToArray(), timeout.Token);
    }

    private static async Task<string?> ReadTokenAsync(PipeReader input, CancellationToken cancellationToken)
    {
        while (true)
        {
            ReadResult result = await input.ReadAsync(cancellationToken);
            if (result.Buffer.PositionOf((byte)'\n') is { } end)
            {
                string token = Encoding.UTF8.GetString(result.Buffer.Slice(0, end));
                // The bytes after the line are the handler's.
                input.AdvanceTo(result.Buffer.GetPosition(1, end));
                return token;
            }

            bool incomplete = result.IsCompleted || result.Buffer.Length > MaxLength;
            input.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            if (incomplete)
            {
                return null;
            }
        }
    }
}
